"""Alerts and dashboard speak of metrics that exist, and do what they say."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

import yaml

from support import path, read, read_sources

sys.path.insert(0, path("ops/grafana"))
sys.path.insert(0, path("ops/docs"))

import make  # noqa: E402
import metrics_reference  # noqa: E402

SUFFIXES = ("_bucket", "_sum", "_count")


def served():
    """Names of the metrics that the service has in its sources."""
    return set(re.findall(r'"(tidemark_[a-z_]+)"', read_sources("consumer/service", "*metrics*")))


def named(expression):
    """Names of Tidemark's metrics in a PromQL expression."""
    words = re.findall(r"\btidemark_[a-z_]+", re.sub(r'"[^"]*"', "", expression))
    return {next((word.removesuffix(s) for s in SUFFIXES if word.endswith(s)), word) for word in words}


def alert_expressions():
    groups = yaml.safe_load(read("ops/prometheus/alerts.yml"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels():
    return [panel for panel in json.loads(read("ops/grafana/tidemark.json"))["panels"] if panel["type"] != "row"]


def panel_expressions():
    return [target["expr"] for panel in panels() for target in panel.get("targets", [])]


def promtool(*arguments, cwd=None):
    run = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, cwd=cwd or path("ops/prometheus"), check=False
    )
    return run.returncode, run.stdout + run.stderr


class Catalogue(unittest.TestCase):
    def test_it_has_each_metric_that_is_served(self):
        self.assertGreater(len(served()), 40)
        self.assertEqual(served() - set(metrics_reference.catalogue()), set())

    def test_it_was_made_anew_after_the_last_change(self):
        self.assertEqual(
            read("ops/docs/METRICS.md"), metrics_reference.reference(), "run ops/docs/metrics_reference.py --write"
        )


class Alerts(unittest.TestCase):
    def test_each_fires_for_its_trouble_and_none_for_a_healthy_group(self):
        code, said = promtool("test", "rules", "alerts_test.yml")
        self.assertEqual(code, 0, said)

    def test_each_is_tested(self):
        tests = read("ops/prometheus/alerts_test.yml")
        self.assertEqual([name for name in alert_expressions() if f'alertname="{name}"' not in tests], [])

    def test_each_metric_is_served(self):
        for name, expression in alert_expressions().items():
            self.assertEqual(named(expression) - served(), set(), name)

    def test_prometheus_takes_the_configuration(self):
        code, said = promtool("check", "config", "prometheus.yml")
        self.assertEqual(code, 0, said)


class Dashboard(unittest.TestCase):
    def test_each_metric_is_served(self):
        self.assertGreater(len(panel_expressions()), 10)
        for expression in panel_expressions():
            self.assertEqual(named(expression) - served(), set(), expression)

    def test_each_metric_that_is_served_is_shown(self):
        shown = set().union(*map(named, panel_expressions()))
        self.assertEqual(served() - shown, set(), "add a panel in ops/grafana/make.py")

    def test_prometheus_takes_each_query(self):
        rules = [
            {"record": f"panel_{i}", "expr": expression.replace("$__rate_interval", "1m").replace("$__range", "1h")}
            for i, expression in enumerate(panel_expressions())
        ]
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "panels.yml"), "w", encoding="utf-8") as out:
                yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}, out)
            code, said = promtool("check", "rules", "panels.yml", cwd=folder)
        self.assertEqual(code, 0, said)

    def test_each_panel_has_a_title_a_sentence_a_unit_and_a_place_of_its_own(self):
        taken = set()
        for panel in panels():
            self.assertTrue(panel["title"] and panel["description"], panel)
            if panel["type"] in ("timeseries", "stat"):
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"], panel["title"])
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertLessEqual(at["x"] + at["w"], 24, panel["title"])
            self.assertEqual(cells & taken, set(), panel["title"])
            taken |= cells

    def test_it_was_made_anew_after_the_last_change(self):
        self.assertEqual(read("ops/grafana/tidemark.json"), make.text(), "run ops/grafana/make.py --write")

    def test_ids_are_unique_and_no_data_source_is_fixed(self):
        dashboard = json.loads(read("ops/grafana/tidemark.json"))
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(sorted(set(ids)), sorted(ids))
        for panel in panels():
            self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"}, panel["title"])


if __name__ == "__main__":
    unittest.main()
