"""Whoever is on call finds a heading for what the service says."""

import re
import unittest

import yaml

from support import read, read_sources


def headings():
    return re.findall(r"^#+ (.+)$", read("ops/docs/RUNBOOK.md"), re.MULTILINE)


def anchor(heading):
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def alerts():
    return [rule for group in yaml.safe_load(read("ops/prometheus/alerts.yml"))["groups"] for rule in group["rules"]]


class Runbook(unittest.TestCase):
    def expect(self, names):
        """Each has a heading, and there were some: a source that was rewritten must not pass by finding nothing."""
        self.assertGreater(len(names), 2, "nothing was found in the source: was it rewritten?")
        self.assertEqual([name for name in names if name not in headings()], [])

    def test_each_alert_has_a_heading_to_which_it_points(self):
        self.expect([rule["alert"] for rule in alerts()])
        for rule in alerts():
            self.assertEqual(rule["annotations"]["runbook"], "ops/docs/RUNBOOK.md#" + anchor(rule["alert"]))

    def test_each_exit_code_has_a_heading(self):
        codes = re.findall(r"^\s*k\w+ = (\d+),", read("consumer/service/exit_code.h"), re.MULTILINE)
        self.expect([f"Exit {code}" for code in codes])

    def test_each_code_of_a_parked_record_has_a_heading(self):
        codes = re.search(r"code_name\(BadCode.*?\n}", read("consumer/core/change.cc"), re.DOTALL)[0]
        self.expect(re.findall(r'return "(\w+)";', codes))

    def test_each_cause_of_a_suspect_cell_has_a_heading(self):
        causes = re.search(r"cause_name\(SuspectCause.*?\n}", read("consumer/core/delta.cc"), re.DOTALL)[0]
        self.expect(re.findall(r'return "(\w+)";', causes))

    def test_each_sqlstate_that_is_treated_or_explained_has_a_heading(self):
        states = re.findall(r'(?:KindOfState|Hint)\{"(\w+)"', read("consumer/store/pg_error.cc"))
        self.expect([f"SQLSTATE {state}" for state in states])

    def test_each_reason_of_not_being_ready_has_a_heading(self):
        reasons = re.findall(r'why \+= (?:fmt::format\()?"([^"]+)"', read_sources("consumer/service"))
        known = [heading.removeprefix("Not ready: ") for heading in headings() if heading.startswith("Not ready: ")]
        self.assertGreater(len(reasons), 2, "no reasons were found in consumer/service: were they rewritten?")
        for reason in reasons:
            self.assertTrue(any(name in reason for name in known), f"no heading 'Not ready: ...' for: {reason!r}")

    def test_no_heading_stands_twice_or_is_empty(self):
        names = headings()
        self.assertEqual(sorted(set(names)), sorted(names))
        self.assertNotRegex(read("ops/docs/RUNBOOK.md"), r"(?m)^## .+\n+(#|\Z)")


if __name__ == "__main__":
    unittest.main()
