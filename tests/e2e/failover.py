"""The primary dies, and with it its last commits, which the stream has brought: a standby goes on without them (FAULTS G3, S2).

Ids and LSNs go back, and what is in the topics since then tells of rows that nobody has. Each ends with every cell as the
new primary's rows say, nothing suspect, all fences gone and no drift.
"""

import time

from ops.stack import wait_until

from chain import Load
from recounts import ALWAYS_MS, calm, figures, rarely_recounted
from two_servers import copy_cells_to_the_rows, make_target
from world import PATIENCE_S, demand

SECONDS = 12


def begin(world, apart):
    """A primary with a standby, for rows and cells or for the rows only; a group of two that knows both, and writers."""
    world.pass_every_ms = ALWAYS_MS
    world.rows = world.stack.server(f"{world.name}-primary")
    world.standbys[world.rows] = world.stack.standby(world.rows, name=f"{world.name}-standby")
    world.cells = world.rows
    world.make_database()
    if apart:
        make_target(world)
    world.make_topics()
    world.make_connector()
    world.migrate()
    for _ in range(2):
        world.member()
    load = Load(world, 51, seconds=SECONDS)
    world.wait_more(500)
    return load


def lose_commits(world):
    """Cuts the standby off; what is written and counted from now on will be lost. Gives a user whose followers all are."""
    world.standbys[world.rows].cut_off()
    lost = rarely_recounted(world)
    world.wait_more(500)
    return lost


def fail_over(world):
    """As an administrator would: the standby becomes the primary, and Debezium begins anew there, without a snapshot."""
    primary = world.rows
    apart = world.cells is not primary
    primary.kill9()
    world.rows = world.standbys[primary]
    world.rows.promote()
    if not apart:
        world.cells = world.rows
    time.sleep(1)  # writers and members go on without a stream
    world.stack.connect.begin_anew(world.name, world.connector_config(snapshot_mode="no_data"))


def settled(world, history):
    """The new history is known, and from where on its changes count."""
    return world.sql("select 1 from tidemark.turn where history <> %s and not exists"
                     " (select from tidemark.progress where touch_below = 9223372036854775807)", (history,))


def promoted(apart):
    def scenario(world):
        load = begin(world, apart)
        try:
            lost = lose_commits(world)
            (history,), = world.sql("select history from tidemark.turn")
            before = world.records_applied()
            fail_over(world)
            wait_until(lambda: settled(world, history), PATIENCE_S, "the new history is settled")
            told = f"{before} records applied when the primary died, {world.records_applied()} when the new one was known"
            counts = finish(world, load, apart)
            left = world.sql("select follower_count from aggregate_user where user_id = %s and follower_count <> 0", (lost,))
            demand(not left, f"followers that nobody has any more: {left}")
            return f"{told}; {figures(world)}; {counts}"
        finally:
            load.abandon()
    return scenario


def finish(world, load, apart):
    counts = load.finish()
    world.wait_streamed()
    world.wait_applied()
    calm(world)
    world.wait_recounted()
    if apart:
        copy_cells_to_the_rows(world)
    return f"{counts}; {world.verify()}"


SCENARIOS = {"recount-standby-promoted": promoted(apart=False), "recount-source-promoted": promoted(apart=True)}
