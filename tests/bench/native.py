"""decode and apply: benchmarks that are programs of their own."""

import json

from bed import POSTGRES
from figures import BenchFailed, median, result, say
from ops.stack import Stack, run

EVENTS_PER_S_MIN = 1_000_000
TOOL_S_MAX = 1200
ROUNDS_APPLY, ROUNDS_APPLY_QUICK = 15, 3


def decode(options) -> list[dict]:
    """Events a second of CPU time of one thread, so that neighbours disturb little."""
    rates: dict[str, list[float]] = {}
    for name, filters in (("fold_bench", "."), ("decode_bench", ".")):
        out = run([f"{options.build}/tests/bench/{name}", "--benchmark_format=json",
                   f"--benchmark_filter={filters}", f"--benchmark_repetitions={options.runs}",
                   f"--benchmark_min_time={0.05 if options.quick else 1}"], name,
                  timeout_s=TOOL_S_MAX)
        for one in json.loads(out)["benchmarks"]:
            if one.get("error_occurred"):
                raise BenchFailed(f"{one['name']}: {one['error_message']}")
            if one["run_type"] == "iteration":
                rates.setdefault(one["run_name"], []).append(one["items_per_second"])
    for name, values in rates.items():
        say(f"{name}: " + ", ".join(f"{value:,.0f}" for value in values) + " events/s")
    wanted = {"decode_and_fold/skewed": "decode and fold, skewed",
              "decode_and_fold/flat": "decode and fold, flat",
              "decode_only/skewed": "decode only"}
    rows = [result(text, median(rates[name]), "events/s", "goal", EVENTS_PER_S_MIN)
            for name, text in wanted.items()]
    return rows + [result(f"{name}, a capture's record", median(values), "events/s", "goal",
                          EVENTS_PER_S_MIN)
                   for name, values in rates.items() if name not in wanted]


def apply(options) -> list[dict]:
    """apply_bench alternates between ours and the bare upsert, and takes medians itself."""
    rounds = ROUNDS_APPLY_QUICK if options.quick else max(ROUNDS_APPLY, options.runs)
    with Stack(parts=("postgres",), fsync=True, postgres_settings=POSTGRES) as stack:
        stack.postgres.create_database("bench")
        say(f"20,000 distinct cells a batch and more, {rounds} rounds, a million rows")
        out = run([f"{options.build}/tests/bench/apply_bench", "--connection",
                   stack.postgres.dsn("bench"), "--rounds", str(rounds)], "apply_bench",
                  timeout_s=TOOL_S_MAX)
    return json.loads(out.splitlines()[-1])["results"]
