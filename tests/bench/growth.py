"""growth: what an event costs as the aggregate tables grow, and with a second member.

Users and items are drawn over all rows of the tables: by Zipf's law, where most events meet few
rows whatever the size, and uniformly, where a larger table means other pages for each event.
Cost is CPU time of members and Postgres: it is what a shared machine disturbs least.
"""

import os

from bed import REBALANCE_DELAY_MS, Bed
from chain import CELLS_PER_EVENT, ZIPF
from chain_run import describe, run_chain
from figures import median, result, say
from upserts import BATCH_ROWS, run_upserts

SIZES = (10_000, 1_000_000, 10_000_000)
SIZES_QUICK = (1_000, 10_000, 50_000)
EVENTS, EVENTS_QUICK = 1_000_000, 50_000
MEMBERS = (1, 2)
COST_RATIO_MAX = 1.5


def growth(options) -> list[dict]:
    sizes = SIZES_QUICK if options.quick else SIZES
    events = EVENTS_QUICK if options.quick else EVENTS
    with Bed(options.build, batch=options.batch, rebalance_delay_ms=REBALANCE_DELAY_MS) as bed:
        skewed = _all_runs(bed, options.runs, events, sizes, ZIPF)
        flat = _all_runs(bed, options.runs, events, sizes, 0)
        bare = {size: [run_upserts(bed, size, max(2, events // BATCH_ROWS))
                       for _ in range(options.runs)] for size in sizes}
    rows = _ratios(skewed, sizes)
    for members in MEMBERS:
        for size in sizes:
            rows += _absolute("skewed", size, members, skewed[size, members])
    for members in MEMBERS:
        for size in sizes:
            rows += _absolute("flat", size, members, flat[size, members], bare[size])
    return rows


def _all_runs(bed: Bed, runs: int, events: int, sizes: tuple, zipf: float) -> dict:
    """(size, members) -> runs; sizes and members take turns."""
    topics = {size: bed.topic(events=events, ids=size, zipf=zipf) for size in sizes}
    found: dict = {(size, members): [] for size in sizes for members in MEMBERS}
    for number in range(runs):
        for size in sizes:
            for members in MEMBERS:
                say(f"{'skewed' if zipf else 'flat'}, {size:,} rows, {_members(members)}, round "
                    f"{number + 1} of {runs}")
                found[size, members].append(run_chain(bed, topics[size], size, members=members))
                describe(found[size, members][-1], os.cpu_count())
    return found


def _ratios(skewed: dict, sizes: tuple) -> list[dict]:
    """The goal's figures: the largest tables beside the smallest."""
    rows = []
    for members in MEMBERS:
        small, large = skewed[sizes[0], members], skewed[sizes[-1], members]
        times = f"skewed, {sizes[-1]:,} rows over {sizes[0]:,}, {_members(members)}"
        rows.append(result(
            f"CPU an event, {times}",
            median(run.cost_us for run in large) / median(run.cost_us for run in small), "times",
            "goal, at most", COST_RATIO_MAX))
        rows.append(result(
            f"time an event, {times}",
            median(1 / run.busy_rate for run in large) / median(1 / run.busy_rate for run in small),
            "times", "goal, at most", COST_RATIO_MAX))
    return rows


def _absolute(shape: str, size: int, members: int, runs: list, bare: list | None = None) -> list:
    name = f"{shape}, {size:,} rows, {_members(members)}"
    peer = "bare upserts of two cells" if bare else None
    cpu = 1e6 * CELLS_PER_EVENT * median(run.cpu_s / run.rows for run in bare) if bare else None
    wal = CELLS_PER_EVENT * median(run.wal_bytes / run.rows for run in bare) if bare else None
    rate = median(run.rate for run in bare) / CELLS_PER_EVENT if bare else None
    return [
        result(f"CPU an event, {name}", median(run.cost_us for run in runs), "us", peer, cpu),
        result(f"WAL an event, {name}", median(run.wal_bytes / run.events for run in runs), "bytes",
               peer, wal),
        result(f"rate, {name}", median(run.busy_rate for run in runs), "events/s", peer, rate),
    ]


def _members(count: int) -> str:
    return "1 member" if count == 1 else f"{count} members"
