"""Recounts beside the running stream: passes all the time, kills in their midst, drift made by hand, odd changes.

Each ends with every cell right, nothing suspect, all fences gone, and the drift table holding what was made by
hand and no more.
"""

import contextlib
import re
import time

from ops.stack import wait_until

from chain import Load
from world import PATIENCE_S, demand

ALWAYS_MS = 1            # one pass after the other
DRIFT = 5
BESIDE = 990_001         # a user above the load's
SLICES_MORE = 10
PAST_MIN = 50            # records of a partition


@contextlib.contextmanager
def recounting(world, seed, *, members=2, pass_every_ms=ALWAYS_MS, kill=None, armed=0, kafka=None, **options):
    """Database, connector, members and load; a pass ends and another begins all the time. `kill` arms a member: the first
    one mostly recounts."""
    world.pass_every_ms = pass_every_ms
    world.make_database()
    world.make_topics()
    world.make_connector()
    world.migrate()
    for number in range(members):
        if number and armed:  # the first one is to recount
            wait_until(lambda: world.sql("select 1 from tidemark.passes"), PATIENCE_S, "the first member recounts")
        world.member(kill=kill if number == armed else None, kafka=kafka)
    load = Load(world, seed, **options)
    try:
        world.wait_more(500)
        yield load
    finally:
        load.abandon()


def passes(world):
    return world.sql("select count(*) from tidemark.passes where ended_at is not null")[0][0]


def slices(world):
    """Of passes, ended so far."""
    return int(world.sql("select coalesce(sum(slices), 0) from tidemark.passes")[0][0])


def figures(world):
    (slices, cells, written), = world.sql("select sum(slices), sum(cells), sum(corrected) from tidemark.passes")
    skipped = int(sum(member.metrics().get("tidemark_fence_skipped_total", 0) for member in world.members
                      if member.running() and member.is_live()))
    return f"{passes(world)} passes, {slices} slices, {written} cells written ahead, {skipped} changes met a fence"


def calm(world):
    """No pass is begun from now on: wait_recounted() sees to it, again and again."""
    world.calm = True


def under_load(world):
    """Three members, one killed and one leaving again and again; passes all the time. Under --long, writers go as fast as
    they can: hundreds of thousands of changes, and nothing beside them keeps its pace."""
    with recounting(world, 21, members=3, seconds=12, paced=not world.long) as load:
        for _ in range(3 if world.long else 1):
            victim, guest = world.members[0], world.members[1]
            wait_until(lambda: len(world.owners()) >= 2, PATIENCE_S, "members own partitions")
            before = passes(world), slices(world)
            victim.kill9()
            time.sleep(1)
            victim.start()
            demand(guest.stop(PATIENCE_S) == 0, "the guest did not end well")
            time.sleep(1)
            guest.start()
            wait_until(lambda: goes_on(world, *before), PATIENCE_S, "passes go on")
            wait_until(guest.is_live, PATIENCE_S, "the guest lives")
        drained = finish_load(world, load)
        return f"{figures(world)}; {drained}"


def goes_on(world, passes_before, slices_before):
    """Where writers leave the machine no time, a pass takes as long as they go on: tables grow ahead of it."""
    return slices(world) > slices_before + SLICES_MORE if world.long else passes(world) > passes_before + 1


def finish_load(world, load):
    counts = load.finish()
    world.wait_streamed()
    world.wait_applied()
    calm(world)
    return f"{counts}; {world.verify()}"


def killed(world):
    """Who recounts dies at X10, and at X11: each time the other member goes on with the pass."""
    points = [f"{point}:kill:3" for point in ("X10", "X11")]
    with recounting(world, 22, kill=points[0]) as load:
        victim, other = world.members
        for point in points:
            if not victim.running():
                victim.start(env={"TIDEMARK_KILL": point})
                wait_until(victim.is_live, PATIENCE_S, "the member is back")
            dies_recounting(victim, other, point)
            before = passes(world)
            wait_until(lambda: passes(world) > before, PATIENCE_S, "the other member goes on with the pass")
        victim.start(env={})
        drained = finish_load(world, load)
        return f"killed at {' and '.join(points)}; {figures(world)}; {drained}"


def dies_recounting(victim, other, point):
    wait_until(lambda: victim.exit_code() is not None or not leads(victim), PATIENCE_S, f"a slice reaches {point}")
    if victim.exit_code() is None:  # the other one recounts: its turn comes when that is gone
        other.kill9()
        wait_until(lambda: victim.exit_code() is not None, PATIENCE_S, f"a slice reaches {point}")
        other.start()
    demand(victim.exit_code() == -9, f"the member ended with {victim.exit_code()} and not at {point}")


def leads(member):
    status, text = member.get("/metrics")
    rows = re.search(r"^tidemark_recount_rows_total (\S+)", text, re.M)
    return status != 200 or (rows is not None and float(rows[1]) > 0)  # it may be dead already


def recount(world, *arguments):
    """The command, to its end. It says itself when it is to be tried again."""
    def ended():
        answer = world.command("recount", *arguments)
        demand(answer.code in (0, 75), f"recount ended with {answer.code}: {answer.err}")
        return answer.code == 0
    wait_until(ended, PATIENCE_S, f"recount {arguments}")


def rarely_recounted(world):
    """A user with followers whom the load knows nothing of: another's row may be recounted, for its genre or with its
    neighbours, before it is looked at."""
    world.rows_sql("insert into follows (follower_user_id, followee_user_id, is_current, is_delete, created_at)"
                   " select i, %s, true, false, now() from generate_series(1, 4) as i", (BESIDE,))
    wait_until(lambda: world.sql("select 1 from aggregate_user where user_id = %s and follower_count = 4", (BESIDE,)),
               PATIENCE_S, f"user {BESIDE} with all followers")
    return BESIDE


def drift_by_hand(world):
    """A cell made wrong while its events are on their way: right afterwards, reported once, with its exact size."""
    with recounting(world, 23, pass_every_ms=3_600_000) as load:
        world.wait_recounted_once()
        user = rarely_recounted(world)
        world.sql(f"update aggregate_user set follower_count = follower_count + {DRIFT} where user_id = %s", (user,))
        recount(world, "--full")
        counts = load.finish()
        world.wait_streamed()
        world.wait_applied()
        expected = [("public.aggregate_user", "follower_count", str(user), -DRIFT)]
        verified = world.verify(drift=expected)
        tells_of_drift(world)
        listed = world.command("drift", "list")
        demand("1 of 1 rows" in listed.out, listed.out)
        return f"{DRIFT} too many found once, while events were on their way; {counts}; {verified}"


def tells_of_drift(world):
    """The metric, and a line of the log with its size: each once, of all members together."""
    def told():
        lines = []
        for member in world.members:
            with open(member.log, encoding="utf-8", errors="replace") as log:
                lines += [line for line in log if "another reason than lag" in line and line.endswith("\n")]
        return lines
    wait_until(lambda: world.total("tidemark_drift_rows_total") == 1, PATIENCE_S, "the metric of drift")
    lines = wait_until(told, PATIENCE_S, "the log's line of drift")
    demand(len(lines) == 1 and f"public.aggregate_user.follower_count was {-DRIFT} off" in lines[0],
           f"the logs say of drift: {lines}")


def starts_late(world):
    """Tables with a past, topics that have lost theirs, and writers that never stop; Tidemark comes afterwards."""
    world.make_database()
    world.make_topics()
    load = Load(world, 24)
    try:
        time.sleep(3)
        world.make_connector()
        lose_the_past(world)
        world.migrate()
        for _ in range(2):
            world.member()
        world.wait_more(500)
        drained = finish_load(world, load)
        return f"{figures(world)}; {drained}"
    finally:
        load.abandon()


def lose_the_past(world):
    """The first half of each partition of follows and reposts is gone, as by retention."""
    for topic in (world.topic("follows"), world.topic("reposts")):
        wait_until(lambda: all(end > PAST_MIN for end in world.client.end_offsets(topic).values()), PATIENCE_S,
                   f"some records of {topic}")
        world.client.delete_records(topic, {partition: end // 2 for partition, end in
                                            world.client.end_offsets(topic).items()})
        demand(all(low > 0 for low in world.client.begin_offsets(topic).values()), f"{topic} still has its beginning")


def postgres_stopped(world):
    """Fences, marks and version after an immediate stop; passes all the time."""
    with recounting(world, 25) as load:
        time.sleep(2)
        world.stack.postgres.stop("immediate")
        time.sleep(1)
        world.stack.postgres.start()
        world.stack.connect.restart_connector(world.name)
        drained = finish_load(world, load)
        return f"{figures(world)}; {drained}"


def connect_killed(world):
    """Redelivered COPY pages and key changes while passes go round: suspects are recounted, nothing counts twice."""
    with recounting(world, 26, copies=("follows", "reposts", "saves")) as load:
        time.sleep(2)
        world.stack.connect.kill9()
        time.sleep(1)
        world.stack.connect.start()
        world.stack.connect.wait_running(world.name)
        drained = finish_load(world, load)
        return f"{figures(world)}; {drained}"


def odd_changes(world):
    """REPLICA IDENTITY DEFAULT, TRUNCATE and a transaction left open: what proves nothing is recounted."""
    with recounting(world, 27, pass_every_ms=3_600_000) as load:
        world.insist("alter table follows replica identity default")
        world.insist("update reposts set is_delete = not is_delete where user_id % 3 = 0 and is_current")
        world.insist("delete from follows where follower_user_id % 7 = 0")
        world.insist("truncate saves")
        load.run.hold_open()
        time.sleep(2)
        load.run.release()
        world.insist("alter table follows replica identity full")
        drained = finish_load(world, load)
        return f"{figures(world)}; {drained}"


def partitions_added(world):
    """Redelivered keys land where nothing was seen of them: recounted until producers know the new partitions."""
    with recounting(world, 28, pass_every_ms=3_600_000, copies=("follows", "reposts", "saves")) as load:
        world.wait_recounted_once()
        for table in ("follows", "reposts"):
            world.client.alter_partitions(world.topic(table), 5)
        time.sleep(1)
        world.stack.connect.kill9()
        world.stack.connect.start()
        world.stack.connect.wait_running(world.name)
        wait_until(lambda: len(world.sql("select 1 from tidemark.topics where touch_until > 0 and "
                                         "touch_until < 9223372036854775807")) == 2, PATIENCE_S, "the new partitions are trusted")
        drained = finish_load(world, load)
        return f"{figures(world)}; {drained}"


def records_lost(world):
    """Records purged before they were read: said, all recounted, and right without an operator."""
    with recounting(world, 29, pass_every_ms=3_600_000) as load:
        world.wait_recounted_once()
        for member in world.members:
            member.stop()
        stored, topic = world.applied(), world.topic("follows")
        wait_until(lambda: all(end > stored[topic, partition] + 20 for partition, end in
                               world.client.end_offsets(topic).items()), PATIENCE_S, "more follows")
        world.client.delete_records(topic, {partition: stored[topic, partition] + 10 for partition in
                                            world.client.end_offsets(topic)})
        for member in world.members:
            member.start()
        wait_until(lambda: world.total("tidemark_data_loss_total") >= 1, PATIENCE_S, "the loss is noticed")
        counts = load.finish()
        world.wait_streamed()
        world.wait_applied()
        calm(world)
        verified = world.verify(whole=False)
        demand(world.status()["data_loss_partitions"] == 0, "a loss that is recounted is over")
        return f"{figures(world)}; {counts}; {verified}"


SCENARIOS = {
    "recount-under-load": under_load,
    "recount-killed": killed,
    "recount-drift-by-hand": drift_by_hand,
    "recount-starts-late": starts_late,
    "recount-postgres-stopped": postgres_stopped,
    "recount-connect-killed": connect_killed,
    "recount-odd-changes": odd_changes,
    "recount-partitions-added": partitions_added,
    "recount-records-lost": records_lost,
}
