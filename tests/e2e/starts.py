"""How soon a member works: after its assignment with a large state, and after a restart with static membership."""

import math

from ops.stack import wait_until

from world import PATIENCE_S, demand

USERS = 1_000_000
UNTOUCHED = (100_000, 900_000)  # ids that the traffic doesn't use
GOAL_MS = 2_000
# A machine that six people share is no measure: only a multiple of the goal fails, time and again.
FAIL_MS = 4 * GOAL_MS
RESTARTS_MAX = 4
PART = 0.1          # of the recording, after each


def large_state(world, recording):
    world.make_database(recording.template)
    world.make_topics()
    world.migrate()
    world.sql(f"insert into aggregate_user (user_id) select generate_series(1, {USERS}); analyze aggregate_user")
    feed = recording.feed(world)
    feed.some(0.5)
    member = world.member(kafka={"group.instance.id": "one", "session.timeout.ms": "20000"})
    world.wait_applied()
    assigned, restarted = [world.first_commit_ms(member.process.pid)], []
    for _ in range(RESTARTS_MAX):
        restarted.append(_restart(world, member, feed))
        assigned.append(world.first_commit_ms(member.process.pid))
        if best(assigned) < FAIL_MS and best(restarted) < FAIL_MS:
            break
    for what, took in (("after the assignment", assigned), ("after a restart", restarted)):
        demand(best(took) < FAIL_MS, f"the first commit came {took} ms {what}")
    feed.rest()
    world.wait_applied()
    # An absent row counts as 0: without those that nobody changed, the check takes seconds, not a minute.
    world.sql("delete from aggregate_user where user_id between %s and %s", UNTOUCHED)
    return (f"{USERS:,} rows: first commit {best(assigned)} ms after the claim, {best(restarted)} ms after the process's start "
            f"(static membership, kill -9 before; goal {GOAL_MS}); {world.verify()}")


def best(times):
    return min((ms for ms in times if ms is not None), default=math.inf)


def _restart(world, member, feed):
    """Milliseconds from the process's start until its first batch is committed."""
    member.kill9()
    feed.some(PART)
    (now,), = world.sql("select clock_timestamp()")
    member.start()
    pid = member.process.pid

    def committed():
        rows = world.sql("select extract(epoch from min(at) - %s) * 1000 from public.e2e_audit "
                         "where owner like %s and not claimed", (now, f"%:{pid}"))
        return rows[0][0]
    return round(float(wait_until(committed, PATIENCE_S, "the restarted member's first commit")))


SCENARIOS = {"start-large-state": large_state}
