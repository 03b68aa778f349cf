"""Kafka's own transactions in a watched topic (FAULTS K5): an open one holds back what comes behind it, for who reads
committed records only, and markers are no records.
"""

import time

from ops.stack import Record, wait_until

from recounts import figures, recount, recounting
from world import PARTITIONS, PATIENCE_S, demand

SELDOM_MS = 3_600_000
HELD_MIN = 100      # records
HELD_S = 6          # much longer than a fence waits for a partition that is silent
JUNK = b'{"op": '    # would be parked, were it ever given


def junk(world):
    """One record for each partition of follows."""
    return [Record(world.topic("follows"), partition, 0, b"{}", JUNK) for partition in range(PARTITIONS)]


def lag_of_follows(world):
    return sum(member.metrics().get(f'tidemark_lag_records{{partition="{partition}",topic="{world.topic("follows")}"}}', 0)
               for member in world.members for partition in range(PARTITIONS))


def hanging(world):
    """A transaction hangs while writers write: the stall is seen, and a recount meanwhile keeps its fences, as what it saw is
    still to come. It is counted once when the transaction ends. In the end markers are the last in their partitions, and
    fences go all the same."""
    with recounting(world, 81, seconds=HELD_S + 8, pass_every_ms=SELDOM_MS) as load:
        world.wait_recounted_once()
        with world.client.transaction(junk(world)):
            wait_until(lambda: lag_of_follows(world) > HELD_MIN, PATIENCE_S, "the stall in the metric of the lag")
            recount(world, "--full")
            time.sleep(HELD_S)
            demand(world.sql("select 1 from tidemark.fences"), "the fences went before what they saw had come")
            behind = lag_of_follows(world)
        counts = load.finish()
        # A record behind the marker of each partition.
        world.rows_sql("insert into follows (follower_user_id, followee_user_id, is_current, is_delete, created_at)"
                       " select i, 990002, true, false, now() from generate_series(1, 30) as i")
        world.wait_streamed()
        world.wait_applied()
        verified = world.verify()
        demand(not world.sql("select 1 from tidemark.parked"), "a record of an aborted transaction was taken")
        with world.client.transaction(junk(world)):
            pass
        recount(world, "--full")
        world.wait_recounted()
        return f"{behind:g} records held back at a recount; {figures(world)}; {counts}; {verified}"


SCENARIOS = {"recount-hanging-transaction": hanging}
