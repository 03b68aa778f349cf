"""Debezium's snapshot of tables that have a past, cut off by kill -9 and begun anew (FAULTS S3): rows come twice and prove
nothing, and writers never stop.

They only add rows: of one that was there at the first snapshot and is deleted before the second, Debezium tells nothing
at all. A recount sees it, and rightly calls it drift.
"""

import json
import time

import growing
from ops.stack import wait_until

from chain import Load
from recounts import ALWAYS_MS, figures, finish_load
from world import PATIENCE_S, demand

PAST_S = 3
ROW_S = 0.001                 # the snapshot of follows is slowed down to this
CUT_AT = 300                  # of its rows
SLOW = {"snapshot.select.statement.overrides": "public.follows",
        "snapshot.select.statement.overrides.public.follows":
            f"select f.* from public.follows f cross join lateral (select pg_sleep({ROW_S} + 0 * f.slot)) as slowed",
        "max.batch.size": "100", "max.queue.size": "200"}


def read_rows(world):
    """Of follows, by snapshots: how many records, and how many different rows."""
    rows = [record.key for record in world.client.records(world.topic("follows"))
            if record.value and json.loads(record.value)["op"] == "r"]
    return len(rows), len(set(rows))


def crashed(world):
    """Members run and recount before, while and after; the second snapshot gives rows that the first one gave."""
    world.recounted, world.pass_every_ms = True, ALWAYS_MS
    world.make_database()
    world.make_topics()
    load = Load(world, 71, kind=growing.Traffic)
    try:
        time.sleep(PAST_S)
        world.migrate()
        for _ in range(2):
            world.member()
        world.make_connector(extra=SLOW)
        wait_until(lambda: read_rows(world)[0] >= CUT_AT, PATIENCE_S, "the snapshot's first rows")
        world.stack.connect.kill9()
        (past,), = world.sql("select count(*) from follows")
        first, _ = read_rows(world)
        demand(first < past / 2, f"the snapshot was through: {first} of {past}")
        world.stack.connect.start()
        world.stack.connect.wait_running(world.name)
        drained = finish_load(world, load)
        rows, different = read_rows(world)
        demand(different < rows, "no row came twice")
        return f"cut off at row {first}, {rows - different} rows came twice; {figures(world)}; {drained}"
    finally:
        load.abandon()


SCENARIOS = {"recount-snapshot-crashed": crashed}
