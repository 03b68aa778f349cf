"""metrics: the chain with a member that notes what it does, and is asked for it, and one that doesn't.

Without: TIDEMARK_UNOBSERVED in its environment, which only builds with TIDEMARK_BENCH know; nothing
is counted or timed for metrics, librdkafka makes no statistics, nobody asks. (What the pipeline
itself keeps of a batch, its decoded changes by op, stays.) With: as shipped, a scraper and an open
status page beside, each once a second; Prometheus asks every fifteen.
"""

import os
import threading

from bed import Bed
from chain import ZIPF, scale
from chain_run import UNOBSERVED, describe, run_chain
from figures import BenchFailed, median, result, say

RATIO_MIN = 0.98
EVERY_S = 1.0


def metrics(options) -> list[dict]:
    events, ids = scale(options.quick)
    with Bed(options.build, batch=options.batch) as bed:
        topic = bed.topic(events=events, ids=ids, zipf=ZIPF)
        bare, seen, asked = [], [], []
        for number in range(options.runs):
            say(f"round {number + 1} of {options.runs}")
            # The second of a round may find a warmer machine: who is first changes.
            for unobserved in (True, False) if number % 2 == 0 else (False, True):
                if unobserved:
                    bare.append(run_chain(bed, topic, ids, env={UNOBSERVED: "1"}))
                    say(f"  without: {bare[-1].busy_rate:,.0f} events/s from the claim on")
                else:
                    askers = []
                    seen.append(run_chain(bed, topic, ids, env={},
                                          beside=lambda m, all=askers: kept(all, Asker(m))))
                    asked.append(sum(asker.answers for asker in askers))
                    say(f"  with: {seen[-1].busy_rate:,.0f} events/s from the claim on, "
                        f"{asked[-1]} answers meanwhile")
                    describe(seen[-1], os.cpu_count())
    if not all(asked):
        raise BenchFailed("a member was never asked")
    pairs = [one.busy_rate / other.busy_rate for one, other in zip(seen, bare)]
    say("with to without, round by round: " + ", ".join(f"{pair:.3f}" for pair in pairs))
    return [
        result("chain with metrics", median(run.busy_rate for run in seen), "events/s",
               f"without; goal {RATIO_MIN:g}", median(run.busy_rate for run in bare)),
        result("the same, of each round", median(pairs), "of the rate without", "goal, at least",
               RATIO_MIN),
        result("CPU of the member", 1e6 * median(run.cpu["member"] for run in seen) / events,
               "us/event", "without", 1e6 * median(run.cpu["member"] for run in bare) / events),
    ]


def kept(all_of_them: list, asker: "Asker") -> "Asker":
    all_of_them.append(asker)
    return asker


class Asker:
    """Asks a member for its metrics and its status while the context lasts."""

    def __init__(self, member):
        self._member = member
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers = 0

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *problem) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for path in ("/metrics", "/status"):
                self.answers += self._member.get(path)[0] == 200
            self._stopping.wait(EVERY_S)
