"""Rows on one server, cells on another (DESIGN F10): each with ids, a log and a history of its own."""

import glob
import io
import json
import os
import re
import shutil
import time

from ops.stack import wait_until

from browser import Browser
from chain import Load
from recounts import ALWAYS_MS, calm, figures, passes
from world import CALM_S, PATIENCE_S, REPO, TABLES, demand

AGGREGATES = ("aggregate_user", "aggregate_track", "aggregate_playlist")


def schemas_for_two(folder):
    """The application's, without what needs one database: rules and milestones."""
    shutil.copytree(os.path.join(REPO, "schemas"), os.path.join(folder, "schemas"))
    shutil.copytree(os.path.join(REPO, "sql"), os.path.join(folder, "sql"))
    shutil.rmtree(os.path.join(folder, "schemas", "rules"))
    for part, without in (("aggregates", r"(?ms)^\[milestones.*?(?=^\[(?!milestones)|\Z)"),
                          ("tables", r"(?m)^details = .*\n")):
        for path in glob.glob(os.path.join(folder, "schemas", part, "*.toml")):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            with open(path, "w", encoding="utf-8") as file:
                file.write(re.sub(without, "", text))
    return os.path.join(folder, "schemas")


def make_target(world):
    """A server with the aggregates and no watched table; the source's aggregates stay empty."""
    world.cells = world.stack.server(f"{world.name}-target")
    world.cells.create_database(world.name)
    world.cells.psql(os.path.join(REPO, "ops", "app", "schema.sql"), world.name)
    world.sql("drop table " + ", ".join(TABLES) + " cascade")
    world.cells.psql(os.path.join(REPO, "sql", "roles.sql"), world.name)
    world.schemas = schemas_for_two(world.stack.path(f"{world.name}-declared"))
    world.settings = f"""
[source]
connection = "{world.dsn(world.rows, "tidemark_run")}"

[derive]
enabled = false
"""


def copy_cells_to_the_rows(world):
    """For the checker, which compares in one database."""
    source, target = world.rows.connect(world.name), world.cells.connect(world.name)
    for table in AGGREGATES:
        rows = io.StringIO()
        with target.cursor() as cursor:
            cursor.copy_expert(f"copy public.{table} to stdout", rows)
        rows.seek(0)
        with source.cursor() as cursor:
            cursor.execute(f"truncate public.{table}")
            cursor.copy_expert(f"copy public.{table} from stdin", rows)
    source.close()
    target.close()


def shown_source(world, member):
    """What a member shows of the database of the rows, once it has looked."""
    def seen():
        status, text = member.get("/status")
        source = json.loads(text)["source"] if status == 200 else None
        return source if source and source["active"] else None
    source = wait_until(seen, PATIENCE_S, "/status shows the source's slot")
    demand(source["slot"] == world.name and "/" in source["confirmed_lsn"] and source["behind_bytes"] >= 0,
           f"/status shows the source as {source}")
    with Browser() as page:
        page.open(f"http://127.0.0.1:{member.port}/")
        page.wait("the source", lambda: "behind" in page.text("#source") and world.name in page.text("#source"))
        demand(not page.errors, f"the page's errors: {page.errors}")
    return source


def two_servers(world):
    """Passes all the time; a member and the server of the cells are killed; each cell right, nothing is drift."""
    world.pass_every_ms = ALWAYS_MS
    world.make_database()
    make_target(world)
    world.make_topics()
    world.make_connector()
    world.migrate()
    for _ in range(2):
        world.member()
    load = Load(world, 31)
    try:
        world.wait_more(500)
        wait_until(lambda: len(world.owners()) >= 2, PATIENCE_S, "members own partitions")
        world.members[0].kill9()
        time.sleep(1)
        world.cells.kill9()
        time.sleep(1)
        world.cells.start()
        world.members[0].start()
        shown_source(world, world.members[1])
        before = passes(world)
        wait_until(lambda: passes(world) > before + 1, PATIENCE_S, "passes go on")
        beside = world.command("verify", "--json", "--patience", str(PATIENCE_S))
        demand(beside.code in (0, 75), f"verify ended with {beside.code}: {beside.err}{beside.out[-2000:]}")
        counts = load.finish()
        world.wait_streamed()
        world.wait_applied()
        calm(world)
        world.wait_recounted(CALM_S)  # so that no pass comes before verify below
        copy_cells_to_the_rows(world)
        proven = world.verify()
        (apart,), = world.sql("select count(*) from aggregate_user where follower_count > 0")
        demand(apart > 0, "the target has no counts")
        world.sql("update aggregate_user set follower_count = follower_count + 3 where user_id = "
                  "(select min(user_id) from aggregate_user)")
        found = world.command("verify", "--json", "--patience", str(PATIENCE_S))
        demand(found.code == 1 and '"difference": -3' in found.out, f"{found.code}: {found.out[-2000:]}{found.err}")
        return f"{figures(world)}; {counts}; {proven}; a cell made wrong by 3 is found"
    finally:
        load.abandon()
        world.cells.kill9()


SCENARIOS = {"recount-two-servers": two_servers}
