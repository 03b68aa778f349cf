"""The status page in a real browser, before a real group: it loads, moves, and shows a kill and a drift."""

import os
import re
import sys

from ops.stack import wait_until

from browser import Browser
from chain import Load
from recounts import calm, recount
from world import CALM_S, PATIENCE_S, REPO, demand

sys.path.insert(0, os.path.join(REPO, "ops", "docs"))

import metrics_reference  # noqa: E402

PICTURES = os.path.join(REPO, "build", "test-logs", "e2e-pictures")
DRIFT = 5
PHONE = {"width": 390, "height": 844, "phone": True}
TAB = ("Tab", 9)


def served_names(member):
    """Names of the families that /metrics tells of."""
    status, text = member.get("/metrics")
    demand(status == 200, f"/metrics answers {status}")
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def check_for_people(page):
    """Screen readers, keyboards, small screens."""
    tree = page.tree()
    names = {name for role, name in tree if role == "table"}
    demand(len(names) == 4 and all(names), f"tables are named {names}")
    demand(any(role == "status" for role, _ in tree), "nothing tells a screen reader what changes")
    charts = [name for role, name in tree if role in ("image", "img")]
    demand(len(charts) == 3 and all("now" in name for name in charts), f"charts are told as {charts}")
    page.press(*TAB)
    demand(page.text(":focus") == "To the figures", f"Tab leads to {page.text(':focus')!r}")
    page.ask("document.activeElement.blur()")
    page.look(**PHONE)
    wide = page.ask("document.documentElement.scrollWidth - innerWidth")
    demand(wide <= 0, f"a phone must scroll sideways, by {wide} pixels")


def photographs(page, name):
    os.makedirs(PICTURES, exist_ok=True)
    page.photograph(os.path.join(PICTURES, f"{name}-phone.png"), **PHONE)
    page.photograph(os.path.join(PICTURES, f"{name}-dark.png"), dark=True)
    page.photograph(os.path.join(PICTURES, f"{name}.png"))


def shows_a_group(world):
    world.pass_every_ms = 2_000
    world.make_database()
    world.make_topics()
    world.make_connector()
    world.migrate()
    first, second = world.member(), world.member()
    load = Load(world, 61, seconds=8)
    wait_until(first.is_live, PATIENCE_S, "the member serves its page")
    try:
        with Browser() as page:
            return watch(world, load, page, first, second)
    finally:
        load.abandon()


def watch(world, load, page, first, second):
    owners = "document.querySelectorAll('#owners tr').length"
    page.open(f"http://127.0.0.1:{first.port}/")
    page.wait("two members", lambda: page.ask(owners) == 2)
    page.wait("records coming in", lambda: re.match(r"[1-9]", page.text("#rate")))
    seen = page.text("#rate"), page.text("#partitions")
    page.wait("other figures than before", lambda: page.text("#rate") != seen[0] and page.text("#partitions") != seen[1])
    page.wait("that all is right", lambda: "right at the last pass" in page.text("#verdict"))
    check_for_people(page)
    photographs(page, "healthy")

    second.kill9()
    page.wait("one member that owns all", lambda: page.ask(owners) == 1 and "(this)" in page.text("#owners"))
    load.finish()
    world.wait_streamed()
    world.wait_applied()
    calm(world)
    world.wait_recounted(CALM_S)  # what is made wrong next, the command finds and no other pass

    (user,), = world.sql("select user_id from aggregate_user order by follower_count desc limit 1")
    world.sql("update aggregate_user set follower_count = follower_count + %s where user_id = %s", (DRIFT, user))
    recount(world, "--full")
    world.wait_recounted()  # the command has begun the schedule anew, and drift is told when its fences have gone
    page.wait("the drift", lambda: "Drift was found" in page.text("#verdict"), PATIENCE_S)
    row = page.text("#drift-rows")
    demand("public.aggregate_user.follower_count" in row and f"-{DRIFT}" in row, f"the drift is shown as {row!r}")
    page.ask("document.querySelector('#drift-rows details').open = true")
    demand("fence" in page.text("#drift-rows pre"), "the drift's evidence is not shown")
    demand(not page.errors, f"the page's errors: {page.errors}")
    photographs(page, "drift")

    names, known = served_names(first), set(metrics_reference.catalogue())
    demand(names <= known, f"served, and not in ops/docs/METRICS.md: {names - known}")
    verified = world.verify(drift=[("public.aggregate_user", "follower_count", str(user), -DRIFT)])
    first.kill9()
    page.wait("that the member is gone", lambda: "does not answer" in page.text("#verdict"))
    photographs(page, "gone")
    first.start()
    wait_until(first.is_ready, PATIENCE_S, "the member is back")
    page.wait("the member that is back", lambda: "Drift was found" in page.text("#verdict"))
    return verified


SCENARIOS = {
    "page-shows-a-group": shows_a_group,
}
