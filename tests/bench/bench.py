"""ops/bench: runs one benchmark on this machine. Its last line is one line of JSON.

Progress and what bounds a run go before it. A figure is the median of --runs rounds; everything
that is compared is measured in the same rounds. Exit 1: counts were wrong, or a part failed.
"""

import argparse
import json
import os
import sys
from fractions import Fraction

import psycopg2

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [REPO, HERE]

import chain  # noqa: E402
import challenges  # noqa: E402
import dataset  # noqa: E402
import freshness  # noqa: E402
import growth  # noqa: E402
import hostile  # noqa: E402
import metrics  # noqa: E402
import native  # noqa: E402
import recount  # noqa: E402
import rewards  # noqa: E402
import suspects  # noqa: E402
import sweep  # noqa: E402
from figures import BenchFailed, say  # noqa: E402
from ops.stack import StackError  # noqa: E402

BENCHMARKS = {
    "data": dataset.data,
    "recount": recount.recount,
    "suspects": suspects.suspects,
    "verify": suspects.verify,
    "challenges": challenges.challenges,
    "sweep": sweep.sweep,
    "rewards": rewards.rewards,
    "decode": native.decode,
    "apply": native.apply,
    "chain": chain.chain,
    "chain-flat": chain.chain_flat,
    "growth": growth.growth,
    "freshness": freshness.freshness,
    "memory": chain.memory,
    "marks": chain.marks,
    "metrics": metrics.metrics,
    "hostile": hostile.hostile,
}
RUNS, RUNS_QUICK = 3, 1
SCALE_QUICK = "1/50"


def fraction(text: str) -> Fraction:
    value = Fraction(text)
    if not 0 < value <= 1:
        raise ValueError
    return value


def main() -> int:
    parser = argparse.ArgumentParser(prog="ops/bench", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=BENCHMARKS, help="what is measured")
    parser.add_argument("--quick", action="store_true",
                        help="small and once: shows that it works, says nothing about speed")
    parser.add_argument("--runs", type=int, help=f"rounds ({RUNS}; quick: {RUNS_QUICK})")
    parser.add_argument("--build", default=os.path.join(REPO, "build", "bench"),
                        help="build folder with the programs")
    parser.add_argument("--batch", action="append", metavar="KEY=VALUE",
                        help="another value in the members' section [batch], to try one out")
    parser.add_argument("--data", default=os.path.join(REPO, "build", "bench-data"),
                        help="folder of the kept data sets")
    parser.add_argument("--scale", type=fraction, help="of the kept data set: 1, or 1/50, say "
                        f"(1; quick: {SCALE_QUICK})")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    if not os.access(os.path.join(options.build, "tests", "bench", "generate"), os.X_OK):
        parser.error(f"{options.build} has no benchmarks: run ops/bench without --no-build")
    options.runs = max(1, options.runs or (RUNS_QUICK if options.quick else RUNS))
    options.scale = options.scale or Fraction(SCALE_QUICK if options.quick else 1)
    try:
        results = BENCHMARKS[options.name](options)
    except (BenchFailed, StackError, psycopg2.Error) as problem:
        print(f"ops/bench: {problem}", file=sys.stderr)
        return 1
    except SystemExit as end:  # the stack's way out on SIGINT and SIGTERM
        print(f"ops/bench: asked to end, by signal {(end.code or 128) - 128}", file=sys.stderr)
        raise
    for row in results:
        peer = "" if row["peer"] is None else f"  {row['peer']} {row['peer_value']:,g}"
        ratio = "" if row["ratio"] is None else f"  ratio {row['ratio']:g}"
        say(f"{row['name']}: {row['value']:,g} {row['unit']}{peer}{ratio}")
    print(json.dumps({"name": options.name, "results": results}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
