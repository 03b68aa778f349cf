"""Challenges on the real chain: two members derive while they are killed or freeze.

All must be as ops/app/derivation.py derives it from nothing, and ops/app/announced.py counts it: challenges, their
rewards and milestones.
"""

import contextlib
import glob
import os
import threading

import growing
import traffic
from ops.stack import wait_until

import past
from chain import Load
from kills import is_stopped
from recounts import calm
from replays import replay
from world import DRAIN_S_MAX, PARTITIONS, PATIENCE_S, REPO, demand

SECONDS = 15
ALWAYS = {"fp", "m", "p", "r", "rd", "u"}  # rv and cs need a verified user of 600, who may not have come
BEGUN = """
select (select count(*) from tidemark.progress where touch_below <> 9223372036854775807),
       (select count(*) from tidemark.suspect_ranges)
"""
COUNTS = 5  # followers; reposts and saves of tracks, and of playlists
PASS_EVERY_MS = 3_000
SWEEP_EVERY_S = 1.0
WAITING = """
select (select count(*) from tidemark.dirty),
       (select count(*) from tidemark.sweeps where requested or phase is not null)
"""


def _begin(world, seed, kills=(), kind=traffic.Traffic):
    """The chain with every challenge on, the reward triggers, two members and running load.

    All was recounted once before the load begins: what a first recount finds is not announced.
    """
    world.make_database()
    world.sql("update challenges set active = true")
    for path in sorted(glob.glob(os.path.join(REPO, "sql", "rewards", "*.sql"))):
        world.stack.postgres.psql(path, world.name)
    world.make_topics()
    world.make_connector()
    world.migrate()
    for kill in kills:
        world.member(kill=kill)
    for _ in range(2 - len(kills)):
        world.member()
    partitions = PARTITIONS * len(world.tables)
    wait_until(lambda: world.sql(BEGUN) == [(partitions, 0)], PATIENCE_S, "the first recount of everything")
    load = Load(world, seed, seconds=SECONDS, kind=kind)
    world.wait_more(500)
    return load


def _finish(world, load, grown=False):
    try:
        figures = load.finish()
    finally:
        load.abandon()
    world.wait_streamed()
    world.wait_applied()
    calm(world)
    world.wait_recounted()

    def derived():
        world.check_members()
        return world.sql(WAITING) == [(0, 0)]
    wait_until(derived, DRAIN_S_MAX, "nobody dirty and no sweep going on")
    differences = past.differences(world, grown)
    demand(not differences, f"{len(differences)} differ from a derivation from nothing:\n  "
           + "\n  ".join(differences[:10]))
    by_challenge = world.sql("select challenge_id, count(*) filter (where is_complete), count(*) from user_challenges"
                             " group by 1 order by 1")
    missing = ALWAYS - {challenge for challenge, _, _ in by_challenge}
    demand(not missing, f"no rows of {missing}: the traffic tells nothing of them")
    (rewards,), = world.sql("select count(*) from notification where type not like 'milestone%'")
    (milestones, counts), = world.sql("select count(*), count(distinct name) from milestones")
    demand(counts == COUNTS, f"milestones of {counts} counts only: the traffic crosses too few thresholds")
    told = " ".join(f"{challenge} {complete}/{rows}" for challenge, complete, rows in by_challenge)
    return (f"{figures}; complete of all: {told}; {rewards} rewards and {milestones} milestones told; "
            f"{world.verify()}")


def members_killed(world):
    """kill -9 of each member in turn, while it derives, and recounts and sweeps go round: these are ahead of the
    stream, which is no drift."""
    world.pass_every_ms = PASS_EVERY_MS
    load = _begin(world, 31)
    with _sweeping(world):
        _kill_each(world)
        load.wait()
    return _finish(world, load)


@contextlib.contextmanager
def _sweeping(world):
    """Periodic sweeps of all rules, one after the other."""
    ended = threading.Event()

    def sweep():
        while not ended.wait(SWEEP_EVERY_S):
            world.sql("update tidemark.sweeps set begun_at = now() - interval '2 days'")
    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _kill_each(world):
    for member in world.members:
        wait_until(lambda: len(world.owners()) == 2, PATIENCE_S, "both members own partitions")
        member.kill9()
        world.wait_more(200)
        member.start()


def only_grown(world):
    """Rows are only added: after kill -9 of each member all is equal to a derivation from nothing, but for times."""
    load = _begin(world, 34, kind=growing.Traffic)
    _kill_each(world)
    figures = _finish(world, load, grown=True)
    _sweep_finds(world)
    return figures


def _sweep_finds(world):
    """A row that was lost without a change: the next sweep sets it right, and says so once."""
    (user, specifier), = world.sql("delete from user_challenges where specifier = (select min(specifier) from "
                                   "user_challenges where challenge_id = 'm') and challenge_id = 'm' "
                                   "returning user_id, specifier")
    world.sql("update tidemark.sweeps set begun_at = now() - interval '2 days' where rule = 'm'")
    wait_until(lambda: world.sql("select 1 from tidemark.drift"), PATIENCE_S, "drift of a lost row")
    found = world.sql("select aggregate, counter, key, was is null, became->>'is_complete' from tidemark.drift")
    demand(found == [("public.user_challenges", "m", specifier, True, "true")], f"drift: {found}")
    demand(world.sql("select 1 from user_challenges where challenge_id = 'm' and user_id = %s and is_complete", (user,)),
           "the row is not there again")
    listed = world.command("drift", "list")
    demand(f"challenge m of {specifier}: no row instead of complete" in listed.out, listed.out + listed.err)


def replayed(world):
    """Everything comes a second time while members come and go: nothing is paid or announced again."""
    load = _begin(world, 35)
    replay(world, "--from", "beginning")
    guest = world.member()
    wait_until(lambda: len(world.owners()) == 3, PATIENCE_S, "three members own partitions")
    guest.stop()
    replay(world, "--from", "beginning")
    return _finish(world, load)


def chain_killed(world):
    """kill -9 of Debezium's worker, which sends some again, and of the broker; then of each member."""
    load = _begin(world, 36)
    connect, kafka = world.stack.connect, world.stack.kafka
    connect.kill9()
    connect.start()
    connect.wait_running(world.name)
    world.wait_more(200)
    kafka.kill9()
    kafka.start()
    world.wait_more(200)
    _kill_each(world)
    return _finish(world, load)


def killed_while_deriving(point):
    """A member dies between claiming users and committing what it derived for them."""
    def scenario(world):
        load = _begin(world, 32, kills=[f"{point}:kill:40"])
        victim = world.members[0]
        wait_until(lambda: victim.exit_code() is not None, PATIENCE_S, f"{victim.name} reaches {point}")
        demand(victim.exit_code() == -9, f"{victim.name} ended with {victim.exit_code()}")
        world.wait_more(200)
        victim.start(env={})
        return _finish(world, load)
    return scenario


def frozen_while_deriving(world):
    """It has claimed users when it freezes: marks of these wait, and none is lost."""
    load = _begin(world, 33, kills=["X14:stop:40"])
    zombie = world.members[0]
    wait_until(lambda: is_stopped(zombie.process.pid), PATIENCE_S, f"{zombie.name} stops")
    world.wait_more(200)
    zombie.sigcont()
    return _finish(world, load)


SCENARIOS = {
    "challenges-members-killed": members_killed,
    "challenges-killed-at-claim": killed_while_deriving("X14"),
    "challenges-killed-at-commit": killed_while_deriving("X15"),
    "challenges-frozen": frozen_while_deriving,
    "challenges-only-grown": only_grown,
    "challenges-replayed": replayed,
    "challenges-chain-killed": chain_killed,
}
