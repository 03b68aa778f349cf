"""suspects and verify: single cells recounted from the full tables, and all cells compared.

A hundred thousand cells of three counters become suspect at once, scattered over the keys, as after
a day of unproven changes; no counter has so many that a pass over all of it would be cheaper.
`tidemark verify` compares everything beside a running member, and finds nothing wrong.
"""

import json
import subprocess
import time

import dataset_sql
import figures
from figures import BenchFailed, result, say
from recount import GOAL_MS, slices_of
from scene import WAIT_S_MAX, Scene

CELLS = 100_000
COUNTERS = (("aggregate_user", "follower_count"), ("aggregate_user", "repost_count"),
            ("aggregate_track", "repost_count"))
CAUSE = "snapshot_row"
POLL_S = 0.1


def suspects(options) -> list[dict]:
    with Scene(options, batch=options.batch) as scene:
        each = min(CELLS // len(COUNTERS), scene.sizes.tracks // 2)
        scene.migrate()
        scene.settle()
        member = scene.member()
        member.start()
        member.wait_ready()
        rounds = [_round(scene, member, each, number) for number in range(options.runs)]
        drift = scene.sql("select count(*) from tidemark.drift")[0][0]
        scene.end(member)
    if drift:
        raise BenchFailed(f"{drift} rows of drift, and nothing was wrong")
    return [
        result(f"recount of {len(COUNTERS) * each:,} suspects",
               figures.median(one["cells"] / one["seconds"] for one in rounds), "cells/s"),
        result("aggregate rows", figures.median(one["rows"] / one["seconds"] for one in rounds),
               "rows/s"),
        result("time", figures.median(one["seconds"] for one in rounds), "s"),
        result("wait of a slice, p99", figures.median(one["wait"] for one in rounds), "ms",
               "goal of wait and hold, at most", GOAL_MS),
        result("hold of a slice, p99", figures.median(one["hold"] for one in rounds), "ms",
               "goal of wait and hold, at most", GOAL_MS),
    ]


def _round(scene: Scene, member, each: int, number: int) -> dict:
    """Other cells in each round, so that the last round's pages are no help."""
    metrics = member.metrics()
    first, parts = 1 + number * each, []
    for aggregate, counter in COUNTERS:
        key = (dataset_sql.user_of("n", scene.sizes) if aggregate == "aggregate_user"
               else dataset_sql.item_of("n", scene.sizes.tracks))
        parts.append(f"select 'public.{aggregate}', '{counter}', ({key})::text, '{CAUSE}' "
                     f"from generate_series({first}, {first + each - 1}) as n")
    begin = time.monotonic()
    scene.sql("insert into tidemark.suspects (aggregate, counter, key, cause) "
              + " union all ".join(parts))
    written = time.monotonic()
    scene.wait(member, lambda: scene.sql("select not exists (select from tidemark.suspects)")[0][0],
               "no suspect is left")
    seconds = time.monotonic() - written
    one = {"seconds": seconds, "cells": each * len(COUNTERS),
           **slices_of(figures.minus(member.metrics(), metrics))}
    say(f"round {number + 1}: {one['cells']:,} suspects in {seconds:.1f} s, "
        f"{one['cells'] / seconds:,.0f} cells/s, {one['rows'] / seconds:,.0f} rows/s, in "
        f"{one['slices']:.0f} slices, which waited p99 {one['wait']:.1f} ms, held p99 "
        f"{one['hold']:.1f} ms and {one['held_s'] / seconds:.0%} of the time (they were written in "
        f"{written - begin:.1f} s)")
    return one


def verify(options) -> list[dict]:
    with Scene(options, batch=options.batch) as scene:
        scene.migrate()
        scene.settle()
        member = scene.member()
        member.start()
        member.wait_ready()
        begin, rss = time.monotonic(), 0.0
        config = scene.config(0)
        with open(scene.stack.path("verify.json"), "w+", encoding="utf-8") as out:
            with subprocess.Popen([scene.binary, "verify", "--json", "--config", config],
                                  stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=subprocess.DEVNULL) as command:
                while command.poll() is None:
                    rss = max(rss, figures.rss_mib(command.pid))
                    if time.monotonic() - begin > WAIT_S_MAX:
                        command.kill()
                        raise BenchFailed(f"verify takes more than {WAIT_S_MAX} s")
                    time.sleep(POLL_S)
            seconds = time.monotonic() - begin
            out.seek(0)
            found = json.loads(out.read() or "{}")
        scene.end(member)
    if command.returncode != 0 or found["drift"]:
        raise BenchFailed(f"verify ended with {command.returncode}, and nothing was wrong: "
                          f"{len(found.get('drift', []))} cells")
    source_rows = sum((scene.sizes.follows, scene.sizes.saves, scene.sizes.reposts))
    say(f"{found['cells']:,} cells of {found['rows']:,} rows, from {source_rows:,} follows, saves "
        f"and reposts, in {seconds:.1f} s")
    return [result("verify", found["rows"] / seconds, "rows/s"),
            result("time", seconds, "s"),
            result("memory of the command, at most", rss, "MiB")]
