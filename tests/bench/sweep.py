"""sweep: one walk over all users that the rules concern, and what of the database it takes."""

import time

import figures
from figures import result, say
from scene import Scene

SECONDS_MAX, SECONDS_MAX_QUICK = 200, 60
_LEFT = """
select (select count(*) from tidemark.sweeps where requested or phase is not null),
       (select count(*) from tidemark.dirty),
       (select coalesce(sum(marked), 0) from tidemark.sweeps)"""


def sweep(options) -> list[dict]:
    seconds_max = SECONDS_MAX if options.scale == 1 else SECONDS_MAX_QUICK
    with Scene(options, batch=options.batch) as scene:
        scene.migrate()
        scene.settle()
        member = scene.member()
        member.start()
        member.wait_ready()
        (holders,), = scene.sql("select count(*) from user_challenges")
        before = figures.postgres_seconds(scene.postgres.process.pid)
        own = figures.cpu_seconds(member.process.pid)
        begin = time.monotonic()
        scene.sql("update tidemark.sweeps set requested = true, marked = 0")
        scene.wait(member, lambda: scene.sql(_LEFT)[0][:2] == (0, 0)
                   or time.monotonic() - begin > seconds_max, "the sweep ends", every_s=0.5)
        seconds = time.monotonic() - begin
        own = figures.cpu_seconds(member.process.pid) - own
        cpu = figures.minus(figures.postgres_seconds(scene.postgres.process.pid), before)
        (sweeps, dirty, marked), = scene.sql(_LEFT)
        metrics = member.metrics()
        scene.end(member)
    written = sum(value for name, value in metrics.items()
                  if name.startswith("tidemark_challenge_rows_total"))
    done = 1.0 if not sweeps else max(1e-9, min(1.0, float(marked - dirty) / holders))
    share = sum(cpu.values()) / seconds
    say(f"{marked:,.0f} marks in {seconds:.0f} s, {written:,.0f} rows written; CPU seconds: member "
        f"{own:.1f}, " + ", ".join(f"postgres {name} {value:.1f}" for name, value in cpu.items()
                                   if value >= 0.1))
    if sweeps:
        say(f"it was left after {seconds:.0f} s: {done:.0%} of {holders:,} rows that are held")
    return [
        result("a sweep" + ("" if not sweeps else ", estimated"), seconds / done, "s"),
        result("Postgres meanwhile", share, "cores"),
        result("users and rules a second", float(marked) / seconds, "marks/s"),
    ]
