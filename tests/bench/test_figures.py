#!/usr/bin/python3
"""The arithmetic behind the benchmarks' figures: ratios, quantiles, what bounds a run.

Needs nothing but Python and psycopg2. usage: test_figures.py [unittest's arguments]
"""
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(os.path.dirname(HERE)), HERE]

import figures  # noqa: E402
from chain_run import ChainRun, bound  # noqa: E402
from freshness import histogram_quantile  # noqa: E402


def run_of(**changed) -> ChainRun:
    values = {"events": 1_000_000, "wall_s": 11.0, "claimed_s": 1.0, "first_commit_s": 1.5,
              "cpu": {"member": 6.0, "broker": 1.0, "postgres tidemark_run": 4.0},
              "threads": {"poll, decode, fold": 5.0, "appliers": 0.5}, "wal_bytes": 1, "batches": 1,
              "rows": 1, "apply_s": 4.5, "rss_mib": [(0.5, 30.0), (5.0, 90.0), (11.0, 60.0)],
              "others_s": 0.0}
    return ChainRun(**{**values, **changed})


class Result(unittest.TestCase):
    def test_ratio_is_value_over_peer(self):
        row = figures.result("x", 300_000, "events/s", "bare", 1_200_000)
        self.assertEqual(row["ratio"], 0.25)
        self.assertEqual(set(row), {"name", "value", "unit", "peer", "peer_value", "ratio"})

    def test_without_peer_there_is_no_ratio(self):
        row = figures.result("x", 1, "MiB")
        self.assertEqual((row["peer"], row["peer_value"], row["ratio"]), (None, None, None))


class Run(unittest.TestCase):
    def test_rate_counts_from_the_start_of_the_process(self):
        self.assertAlmostEqual(run_of().rate, 1_000_000 / 11)
        self.assertAlmostEqual(run_of().busy_rate, 1_000_000 / 10)

    def test_cost_is_member_and_all_of_postgres_without_the_broker(self):
        self.assertAlmostEqual(run_of().cost_us, 10.0)

    def test_memory_is_the_largest_seen_and_the_last(self):
        self.assertEqual((run_of().rss_max, run_of().rss_end), (90.0, 60.0))

    def test_idle_machine_is_bound_by_its_busiest_thread(self):
        self.assertTrue(bound(run_of(), 2).startswith("the member's thread `poll, decode, fold`"))

    def test_busy_postgres_backend_is_named(self):
        busy = run_of(cpu={"member": 6.0, "postgres tidemark_run": 9.5})
        self.assertTrue(bound(busy, 2).startswith("postgres tidemark_run (95% of a core"))

    def test_full_machine_is_bound_by_its_cores_whoever_uses_them(self):
        self.assertTrue(bound(run_of(others_s=11.0), 2).startswith("the machine's 2 cores"))


class HistogramQuantile(unittest.TestCase):
    SAMPLES = {'f_bucket{le="0.01"}': 50.0, 'f_bucket{le="0.025"}': 90.0,
               'f_bucket{le="+Inf"}': 100.0, "f_sum": 3.0, 'g_bucket{le="0.01"}': 7.0}

    def test_between_bounds_values_are_spread_evenly(self):
        self.assertAlmostEqual(histogram_quantile(self.SAMPLES, "f", 0.25), 0.005)
        self.assertAlmostEqual(histogram_quantile(self.SAMPLES, "f", 0.7), 0.0175)

    def test_beyond_the_last_bound_says_that_bound(self):
        self.assertEqual(histogram_quantile(self.SAMPLES, "f", 0.99), 0.025)

    def test_nothing_observed_is_zero(self):
        self.assertEqual(histogram_quantile({'f_bucket{le="+Inf"}': 0.0}, "f", 0.99), 0.0)


class Proc(unittest.TestCase):
    def test_cpu_of_a_process_rises_as_it_works_and_is_among_its_threads(self):
        before, deadline = figures.cpu_seconds(os.getpid()), time.process_time() + 0.1
        while time.process_time() < deadline:  # CPU time: other processes don't matter
            sum(range(10_000))
        self.assertGreaterEqual(figures.cpu_seconds(os.getpid()), before + 0.05)
        self.assertGreaterEqual(figures.thread_seconds(os.getpid())["main"], 0.05)

    def test_what_is_gone_has_no_cpu_and_no_memory(self):
        gone = 2**22 + 1  # above the kernel's largest id
        self.assertEqual((figures.cpu_seconds(gone), figures.rss_mib(gone)), (0.0, 0.0))
        self.assertGreater(figures.rss_mib(os.getpid()), 1)


if __name__ == "__main__":
    unittest.main()
