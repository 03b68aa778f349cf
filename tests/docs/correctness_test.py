"""What CORRECTNESS.md says is tested, is."""

import glob
import os
import re
import subprocess
import sys
import unittest

from support import REPO, path, read, read_sources

SHARED = os.path.join(os.path.dirname(REPO), "shared")


def names_in_quotes():
    """[(kind, name)] of tests that the documents name: `e2e storm-1`, `Fold.KeyChange`."""
    documents = read("ops/docs/CORRECTNESS.md") + read("ops/docs/SECURITY.md")
    quoted = re.findall(r"`([^`\n]+)`", documents)
    named = [tuple(text.split(" ", 1)) for text in quoted if re.fullmatch(r"(e2e|case|sim|model|challenges) [\w-]+", text)]
    return named + [
        ("gtest", text)
        for text in quoted
        if re.fullmatch(r"[A-Z]\w+\.[A-Z]\w+", text) and not text.endswith((".md", ".FULL"))
    ]


def there():
    """{kind: names of all tests}."""
    scenarios = subprocess.run(
        [sys.executable, path("tests/e2e/run"), "--list"], capture_output=True, text=True, check=True
    ).stdout.split()
    gtests = re.findall(r"\bTEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)", read_sources("tests"))
    return {
        "e2e": set(scenarios),
        "case": {name.removesuffix(".txt") for name in os.listdir(path("tests/cases"))},
        "sim": set(re.findall(r"^\| `([\w-]+)`", read("tests/sim/README.md"), re.MULTILINE)),
        "model": set(re.findall(r'^    "([A-Z_]+)": (?:World|Broken)', read("tests/model/run"), re.MULTILINE)),
        "challenges": set(re.findall(r"def test_(\w+)\(self", "\n".join(map(read, glob.glob(path("tests/challenges/*.py")))))),
        "gtest": {f"{suite}.{name}" for suite, name in gtests},
    }


def rows(first):
    """The first cells of the table that begins with this one."""
    table = re.search(rf"^\| {first} \|.*?(?=\n\n|\Z)", read("ops/docs/CORRECTNESS.md"), re.MULTILINE | re.DOTALL)[0]
    return re.findall(r"^\| ([A-Z]\d+) \|", table, re.MULTILINE)


class Correctness(unittest.TestCase):
    def test_each_test_that_it_names_is_there(self):
        tests, named = there(), names_in_quotes()
        self.assertGreater(len(named), 100)
        self.assertEqual([f"{kind} {name}" for kind, name in named if name not in tests[kind]], [])

    def test_each_rule_has_its_row(self):
        design = read_shared("DESIGN.md")
        if design is None:
            self.skipTest("there is no DESIGN.md beside the repository")
        self.assertEqual(rows("rule"), re.findall(r"^- \*\*([PNFC]\d+)\b", design, re.MULTILINE))

    def test_each_fault_has_its_row(self):
        faults = read_shared("FAULTS.md")
        if faults is None:
            self.skipTest("there is no FAULTS.md beside the repository")
        self.assertEqual(rows("fault"), re.findall(r"^\| ([A-Z]\d+) \|", faults, re.MULTILINE))

    def test_a_fault_has_tests_or_says_what_is_open(self):
        for row in re.findall(
            r"^\| [A-Z]\d+ \|.*$", read("ops/docs/CORRECTNESS.md").split("## Faults")[1], re.MULTILINE
        ):
            _, _, _, tests, still_open, _ = row.split("|")
            self.assertTrue(tests.strip() or still_open.strip(), row)


def read_shared(name):
    file = os.path.join(SHARED, name)
    if not os.path.exists(file):
        return None
    with open(file, encoding="utf-8") as text:
        return text.read()


if __name__ == "__main__":
    unittest.main()
