"""The whole chain under load: Postgres, Debezium, Kafka and two members, with one fault each."""

import contextlib
import time

import traffic
from ops.stack import wait_until

from kills import is_stopped
from supervisor import Supervisor
from world import PATIENCE_S, SESSION_MS, demand

SECONDS = 10
CHANGES_MIN = 9_000
SIGTERM_S_MAX = 10       # what is promised: before that it ends itself
NOISE_S = 30             # and what a busy machine may add
CHURN_ROUNDS = 5


class Load:
    """Traffic on the world's source tables while a scenario works its fault; paced, or as fast as writers can."""

    def __init__(self, world, seed, seconds=SECONDS, copies=("follows", "saves"), kind=traffic.Traffic, paced=True):
        self.run = kind(world.dsn(world.rows), traffic.Options(
            seed=seed, seconds=seconds, changes_min=CHANGES_MIN * seconds // SECONDS if paced else 0, users=600, tracks=400,
            playlists=150, copies=copies))
        self.run.seed()
        self.run.start()
        self._ends = time.monotonic() + seconds

    def wait(self):
        """For its time to be over, and on a slow machine for all that was to be done in it."""
        self.run.stopping.wait(max(0.0, self._ends - time.monotonic()))
        while (self.run.counts().changes < self.run.options.changes_min and time.monotonic() < self._ends + PATIENCE_S
               and not self.run.stopping.wait(0.1)):
            pass

    def finish(self):
        """The rest of the traffic's time; then its figures."""
        self.wait()
        self.run.stop()
        counts = self.run.counts()
        return f"{counts.changes} changes, {counts.key_changes} key changes"

    def abandon(self):
        self.run.stopping.set()


@contextlib.contextmanager
def chain(world, seed, *, logical_keys=True, members=2, **options):
    """Database, connector, topics, members and running load; members are ready and have applied some."""
    world.make_database()
    world.make_topics()
    world.make_connector(logical_keys)
    world.migrate()
    for _ in range(members):
        world.member()
    load = Load(world, seed, **options)
    try:
        world.wait_more(500)
        yield load
    finally:
        load.abandon()


def finish(world, load):
    figures = load.finish()
    world.wait_streamed()
    waited = world.wait_applied()
    return f"{figures}; drained in {waited:.1f} s; {world.verify()}"


def member_killed(world):
    with chain(world, 1) as load:
        first, second = world.members
        wait_until(lambda: len(world.owners()) == 2, PATIENCE_S, "both members own partitions")
        first.kill9()
        begin = time.monotonic()
        wait_until(lambda: set(world.owners()) == {second.process.pid}, PATIENCE_S, "the survivor owns everything")
        taken = time.monotonic() - begin
        world.wait_more()
        commit = world.first_commit_ms(second.process.pid)
        first.start()
        return f"taken over after {taken:.1f} s, first commit {commit} ms after the claim; {finish(world, load)}"


def connect_killed(world):
    """COPY pages and key changes share positions; without logical keys a key change is `d` and `c` on two partitions."""
    with chain(world, 2, logical_keys=False, copies=("follows", "reposts", "saves")) as load:
        for _ in range(3 if world.long else 1):
            time.sleep(2)  # traffic runs meanwhile, with COPY
            world.stack.connect.kill9()
            time.sleep(1)
            world.stack.connect.start()
            world.stack.connect.wait_running(world.name)
        figures = finish(world, load)
        doubled = int(sum(value for member in world.members for key, value in member.metrics().items()
                          if key == 'tidemark_records_skipped_total{reason="duplicate"}'))
        return f"{doubled} redelivered changes dropped; {figures}"


def postgres_stopped(world):
    with chain(world, 3) as load:
        world.stack.postgres.stop("immediate")
        time.sleep(1)
        world.stack.postgres.start()
        world.stack.connect.restart_connector(world.name)
        return finish(world, load)


def broker_killed(world):
    with chain(world, 4) as load:
        world.stack.kafka.kill9()
        world.stack.kafka.start()
        return finish(world, load)


def members_come_and_go(world):
    with chain(world, 5, seconds=14) as load:
        guest = world.member(start=False)
        for _ in range(CHURN_ROUNDS * (4 if world.long else 1)):
            guest.start()
            wait_until(guest.is_live, PATIENCE_S, "the guest lives")
            time.sleep(1)
            code = guest.stop(PATIENCE_S)
            demand(code == 0, f"the guest ended with {code}")
            time.sleep(1)
        rebalances = int(world.members[0].metric("tidemark_rebalances_total"))
        return f"{CHURN_ROUNDS} joins and leaves, {rebalances} rebalances seen; {finish(world, load)}"


def member_frozen(world):
    with chain(world, 6) as load:
        first, second = world.members
        wait_until(lambda: len(world.owners()) == 2, PATIENCE_S, "both members own partitions")
        first.sigstop()
        wait_until(lambda: set(world.owners()) == {second.process.pid}, PATIENCE_S, "the other member owns everything")
        world.wait_more()
        first.sigcont()
        wait_until(lambda: len(world.owners()) == 2, PATIENCE_S, "the frozen member works again")
        return f"frozen past {SESSION_MS / 1000:g} s, {world.fenced()} batches fenced; {finish(world, load)}"


def sigterm(world):
    with chain(world, 7) as load, Supervisor() as supervisor:
        first, second = world.members
        begin = time.monotonic()
        first.sigterm()
        code = first.wait_exit(SIGTERM_S_MAX + NOISE_S)
        drained = time.monotonic() - begin
        demand(code == 0, f"SIGTERM ended with {code}")
        with open(first.log, encoding="utf-8", errors="replace") as log:
            demand("drained" in log.read(), "it gave up draining")
        wait_until(lambda: set(world.owners()) == {second.process.pid}, PATIENCE_S, "the other member owns everything")
        handed = time.monotonic() - begin
        first.start(env=supervisor.env)
        wait_until(lambda: len(world.owners()) == 2, PATIENCE_S, "both members own partitions")
        ready = {"READY=1", "WATCHDOG=1", "STATUS=ready"}
        wait_until(lambda: ready <= supervisor.told(), PATIENCE_S, "systemd is told that it is ready")
        at_once = sigterm_twice(world)
        return (f"exit 0 after {drained:.2f} s, handed over after {handed:.2f} s; {at_once}; {finish(world, load)}")


def sigterm_twice(world):
    """The second comes while it drains, and ends it there."""
    guest = world.member(kill="X12:stop")
    wait_until(lambda: guest.process.pid in world.owners(), PATIENCE_S, "the guest owns partitions")
    guest.sigterm()
    wait_until(lambda: is_stopped(guest.process.pid), PATIENCE_S, "the guest drains")
    guest.sigterm()
    begin = time.monotonic()
    guest.sigcont()
    code = guest.wait_exit(PATIENCE_S)
    demand(code == 0, f"a second SIGTERM ended with {code}")
    with open(guest.log, encoding="utf-8", errors="replace") as log:
        demand("drained" not in log.read(), "after a second SIGTERM it drained to the end")
    return f"second SIGTERM {time.monotonic() - begin:.2f} s"


SCENARIOS = {
    "chain-member-killed": member_killed,
    "chain-connect-killed": connect_killed,
    "chain-postgres-stopped": postgres_stopped,
    "chain-broker-killed": broker_killed,
    "chain-members-come-and-go": members_come_and_go,
    "chain-member-frozen": member_frozen,
    "chain-sigterm": sigterm,
}
