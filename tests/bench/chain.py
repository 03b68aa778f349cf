"""chain, chain-flat and memory: a topic of four million events, one member at the default limits.

Whatever is compared runs in the same round, one after the other; figures are medians of the rounds.
"""

import os

from bed import Bed
from chain_run import describe, run_chain
from figures import BenchFailed, median, result, say
from upserts import BATCH_ROWS, run_upserts

ZIPF = 1.1
ROWS = 1_000_000  # users, items, and rows of each aggregate table
CELLS_PER_EVENT = 2  # a repost of a track: one of its user, one of the track
MEMORY_MIB_MAX = 256
MARKS = {"challenges off": "enabled = false", "marks stored": "threads = 0",
         "marks stored and derived": "threads = 1"}  # lines of section [derive]
MARKS_RATIO_MIN = 0.85  # what the chain keeps of its rate


def scale(quick: bool) -> tuple[int, int]:
    """Events and ids."""
    return (100_000, 20_000) if quick else (4_000_000, ROWS)


def chain(options) -> list[dict]:
    events, ids = scale(options.quick)
    with Bed(options.build, batch=options.batch) as bed:
        topic = bed.topic(events=events, ids=ids, zipf=ZIPF)
        bare, ours = [], []
        for number in range(options.runs):
            say(f"round {number + 1} of {options.runs}")
            bare.append(bed.ask("bare_consumer", "--brokers", bed.bootstrap, "--topic", topic.name))
            say(f"  bare consumer: {events / bare[-1]['seconds']:,.0f} events/s, "
                f"{bare[-1]['seconds']:.2f} s, {bare[-1]['cpu_seconds']:.2f} CPU seconds")
            ours.append(run_chain(bed, topic, ids))
            describe(ours[-1], os.cpu_count())
    peer = median(events / run["seconds"] for run in bare)
    return [
        result("chain, skewed, until every count is right", median(run.rate for run in ours),
               "events/s", "bare librdkafka consumer", peer),
        result("the same, from the first claim on", median(run.busy_rate for run in ours),
               "events/s", "bare librdkafka consumer", peer),
        result("CPU of the member", 1e6 * median(run.cpu["member"] for run in ours) / events,
               "us/event", "bare librdkafka consumer",
               1e6 * median(run["cpu_seconds"] for run in bare) / events),
        result("cells an event", median(run.rows for run in ours) / events, "cells"),
        result("batches", median(run.batches for run in ours), "batches"),
    ]


def chain_flat(options) -> list[dict]:
    events, ids = scale(options.quick)
    batches = max(2, events // BATCH_ROWS // 2)
    with Bed(options.build, batch=options.batch) as bed:
        topic = bed.topic(events=events, ids=ids, zipf=0)
        bare, ours = [], []
        for number in range(options.runs):
            say(f"round {number + 1} of {options.runs}")
            bare.append(run_upserts(bed, ids, batches))
            say(f"  bare upserts, 2 sessions: {bare[-1].rate:,.0f} rows/s, {bare[-1].cpu_s:.2f} "
                f"CPU seconds, WAL {bare[-1].wal_bytes / bare[-1].rows:,.0f} bytes a row")
            ours.append(run_chain(bed, topic, ids))
            describe(ours[-1], os.cpu_count())
    peer = median(run.rate for run in bare) / CELLS_PER_EVENT
    name = "bare sorted upserts in two sessions, halved for two cells an event"
    return [
        result("chain, flat, until every count is right", median(run.rate for run in ours),
               "events/s", name, peer),
        result("the same, from the first claim on", median(run.busy_rate for run in ours),
               "events/s", name, peer),
        result("WAL", median(run.wal_bytes for run in ours) / events, "bytes/event",
               "bare upserts of two cells",
               CELLS_PER_EVENT * median(run.wal_bytes / run.rows for run in bare)),
        result("CPU of member and Postgres", median(run.cost_us for run in ours), "us/event",
               "Postgres' for bare upserts of two cells",
               1e6 * CELLS_PER_EVENT * median(run.cpu_s / run.rows for run in bare)),
        result("cells an event", median(run.rows for run in ours) / events, "cells"),
    ]


def marks(options) -> list[dict]:
    """The skewed chain three times a round: no rules, marks only, and marks that are derived (as far
    as the deriver comes meanwhile). Each has recounts declared, and nothing to recount."""
    events, ids = scale(options.quick)
    runs: dict[str, list] = {name: [] for name in MARKS}
    with Bed(options.build, batch=options.batch) as bed:
        topic = bed.topic(events=events, ids=ids, zipf=ZIPF)
        for number in range(options.runs):
            for name, derive in MARKS.items():
                say(f"round {number + 1} of {options.runs}, {name}")
                runs[name].append(run_chain(bed, topic, ids, derive=derive))
                describe(runs[name][-1], os.cpu_count())
    if not all(run.dirty for run in runs["marks stored"]):
        raise BenchFailed("nobody was marked")
    off, stored, drained = ([run.busy_rate for run in runs[name]] for name in MARKS)
    cost = [median(run.cost_us for run in runs[name]) for name in MARKS]
    return [
        result("chain with marks stored", median(stored), "events/s",
               f"without rules; goal {MARKS_RATIO_MIN:g}", median(off)),
        result("chain with marks stored and derived", median(drained), "events/s",
               f"without rules; goal {MARKS_RATIO_MIN:g}", median(off)),
        result("CPU of member and Postgres, marks stored", cost[1], "us/event", "without rules",
               cost[0]),
        result("CPU of member and Postgres, marks stored and derived", cost[2], "us/event",
               "without rules", cost[0]),
    ]


def memory(options) -> list[dict]:
    events, ids = scale(options.quick)
    rows = []
    with Bed(options.build, batch=options.batch) as bed:
        for name, zipf in (("skewed", ZIPF), ("flat", 0)):
            topic = bed.topic(events=events, ids=ids, zipf=zipf)
            runs = []
            for number in range(options.runs):
                say(f"{name}, round {number + 1} of {options.runs}")
                runs.append(run_chain(bed, topic, ids))
                describe(runs[-1], os.cpu_count())
            rows += _memory_rows(name, runs)
    rows.sort(key=lambda row: (row["peer"] != "goal", -row["value"]))  # the worst comes first
    return rows


def _memory_rows(name: str, runs: list) -> list[dict]:
    """Flat: what the last third needs at most is what the first third did."""
    return [
        result(f"RSS at most, backlog, {name}", max(run.rss_max for run in runs), "MiB", "goal",
               MEMORY_MIB_MAX),
        result(f"RSS in the last third, {name}", median(_thirds(run)[1] for run in runs), "MiB",
               "in the first third after the claim", median(_thirds(run)[0] for run in runs)),
        result(f"RSS at the end, {name}", median(run.rss_end for run in runs), "MiB"),
    ]


def _thirds(run) -> tuple[float, float]:
    busy_s = run.wall_s - run.claimed_s
    first = [rss for at, rss in run.rss_mib if at <= run.claimed_s + busy_s / 3]
    last = [rss for at, rss in run.rss_mib if at >= run.wall_s - busy_s / 3]
    return max(first), max(last)
