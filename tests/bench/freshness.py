"""freshness: from the append to Kafka until the count is visible in Postgres, at 10,000 events/s.

freshness_probe.cc measures it from outside, while `generate` keeps the rate. The probes go into a
topic of their own (their LSNs must rise) that the same member and the same batches serve.
"""

import time

import figures
from bed import Bed, PARTITIONS
from chain_run import cpu_of_all, postgres_s
from figures import BenchFailed, median, result, say
from ops.stack import Process

RATE = 10_000
ZIPF, ROWS = 1.1, 1_000_000
PROBES_PER_S = 25
SAMPLES, SAMPLES_QUICK = 750, 40
WARM_UP_S = 3
SLACK_S = 20      # the background outlives the probes
GOAL_MS = 50
# A request each 5 ms and partition: without, the broker would be busy with requests of one event.
BACKGROUND_LINGER_MS = 5
BACKGROUND, PROBES = "bench.background", "bench.probes"


def freshness(options) -> list[dict]:
    samples = SAMPLES_QUICK if options.quick else SAMPLES
    ids = 20_000 if options.quick else ROWS
    with Bed(options.build, batch=options.batch) as bed:
        bed.stack.kafka.create_topic(BACKGROUND, PARTITIONS)
        bed.stack.kafka.create_topic(PROBES, 1)
        database = bed.fresh(ids + samples * options.runs)
        member = bed.member(database, {"public.reposts": BACKGROUND}, lists=[PROBES])
        member.start()
        member.wait_ready()
        background = _background(bed, ids, options.runs * (samples / PROBES_PER_S + SLACK_S))
        runs = []
        try:
            time.sleep(WARM_UP_S)
            for number in range(options.runs):
                first = ids + 1 + number * samples
                runs.append(_round(bed, member, database, background, first, samples, ids))
        finally:
            background.stop()
    return _rows(runs)


def _background(bed: Bed, ids: int, seconds: float) -> Process:
    process = Process("background", [
        bed.tool("generate"), "--brokers", bed.bootstrap, "--topic", BACKGROUND, "--events",
        str(int(RATE * seconds)), "--rate", str(RATE), "--ids", str(ids), "--zipf", str(ZIPF),
        "--linger-ms", str(BACKGROUND_LINGER_MS)], bed.stack.path("background.log"))
    process.start()
    return process


def _round(bed: Bed, member, database: str, background: Process, first: int, samples: int,
           ids: int) -> dict:
    before, all_before = cpu_of_all(bed, [member]), figures.all_cpu_seconds()
    metrics = member.metrics()
    begin = time.monotonic()
    run = bed.ask("freshness_probe", "--brokers", bed.bootstrap, "--topic", PROBES, "--dsn",
                  bed.postgres.dsn(database), "--samples", str(samples), "--rate",
                  str(PROBES_PER_S), "--first-user", str(first), "--items", str(ids))
    run["seconds"] = time.monotonic() - begin
    run["cpu"] = figures.minus(cpu_of_all(bed, [member]), before)
    run["all_cpu"] = figures.all_cpu_seconds() - all_before
    if not background.running():
        raise BenchFailed(f"the background ended before the probes.\n{background.tail()}")
    if member.metric("tidemark_lag_records") > RATE:
        raise BenchFailed("the member does not keep up with the rate")
    delta = figures.minus(member.metrics(), metrics)
    run["rate"] = delta["tidemark_records_total"] / run["seconds"]
    run["batches"] = delta["tidemark_batch_rows_count"] / run["seconds"]
    for q in (0.5, 0.99):
        run[f"member_p{100 * q:g}_ms"] = 1000 * histogram_quantile(
            delta, "tidemark_freshness_seconds", q)
    _describe(run)
    return run


def _describe(run: dict) -> None:
    say(f"{run['samples']} probes in {run['rate']:,.0f} events/s: p50 {run['p50_ms']:.1f} ms, p90 "
        f"{run['p90_ms']:.1f}, p99 {run['p99_ms']:.1f}, max {run['max_ms']:.1f}; of it the append "
        f"p50 {run['append_ms_p50']:.1f}, p99 {run['append_ms_p99']:.1f}; asked every "
        f"{run['poll_gap_ms_p50']:.1f} ms (p99 {run['poll_gap_ms_p99']:.1f})")
    say(f"  tidemark_freshness_seconds (oldest record of each batch): p50 "
        f"{run['member_p50_ms']:.1f} ms, p99 {run['member_p99_ms']:.1f} ms; {run['batches']:.0f} "
        f"batches/s; cores: member {run['cpu']['member'] / run['seconds']:.2f}, broker "
        f"{run['cpu']['broker'] / run['seconds']:.2f}, Postgres "
        f"{postgres_s(run['cpu']) / run['seconds']:.2f}, this whole machine "
        f"{run['all_cpu'] / run['seconds']:.2f}")


def _rows(runs: list[dict]) -> list[dict]:
    return [
        result("append to visible, p99", median(r["p99_ms"] for r in runs), "ms", "goal, at most",
               GOAL_MS),
        result("append to visible, p50", median(r["p50_ms"] for r in runs), "ms"),
        result("append to visible, longest of all", max(r["max_ms"] for r in runs), "ms"),
        result("append until the broker's answer, p50", median(r["append_ms_p50"] for r in runs),
               "ms"),
        result("the member's own figure, oldest of each batch, p99",
               median(r["member_p99_ms"] for r in runs), "ms"),
        result("the member's own figure, oldest of each batch, p50",
               median(r["member_p50_ms"] for r in runs), "ms"),
        result("events", median(r["rate"] for r in runs), "events/s", "wanted", RATE),
    ]


def histogram_quantile(samples: dict[str, float], name: str, q: float) -> float:
    """A quantile from a Prometheus histogram: between two bounds, as if evenly spread."""
    prefix = f'{name}_bucket{{le="'
    buckets = sorted((float(key[len(prefix):-2].replace("+Inf", "inf")), count)
                     for key, count in samples.items() if key.startswith(prefix))
    total = buckets[-1][1] if buckets else 0
    lower, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= q * total > 0:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (q * total - below) / (count - below)
        lower, below = bound, count
    return 0.0
