"""The reference of the configuration is what the parser takes."""

import os
import re
import sys
import unittest

from support import REPO, read

sys.path.insert(0, os.path.join(REPO, "ops", "docs"))

import config_reference  # noqa: E402

FREE = {"kafka", "topics.map"}  # sections whose keys the user names


def accepted():
    """{section: keys} as config.cc allows them."""
    found = {}
    for function in read("consumer/service/config.cc").split("void read_")[1:]:
        allowed = re.search(r"allow_keys\(\s*\{([^}]*)\}", function)
        if allowed:
            found[re.match(r"\w+", function)[0]] = set(re.findall(r'"(\w+)"', allowed[1]))
    return found


class Config(unittest.TestCase):
    def test_each_key_that_the_parser_takes_is_documented_in_its_section(self):
        keys, sections = config_reference.read_example()
        documented = {
            section: {key.name for key in keys if key.section == section} for section in sections if section not in FREE
        }
        documented["topics"].add("map")
        self.assertGreater(len(accepted()), 5)
        self.assertEqual(documented, accepted())

    def test_each_key_says_what_it_is_for(self):
        keys, _ = config_reference.read_example()
        self.assertEqual([key.name for key in keys if not key.text and key.section not in FREE], [])

    def test_the_reference_was_made_anew_after_the_last_change(self):
        self.assertEqual(
            read("ops/docs/CONFIG.md"), config_reference.reference(), "run ops/docs/config_reference.py --write"
        )

    def test_bounds_are_those_of_the_parser(self):
        self.assertEqual(config_reference.read_bounds()["lanes"], "1 to 64")
        self.assertEqual(config_reference.read_bounds()["bytes_max"], "1 to 68,719,476,736")


if __name__ == "__main__":
    unittest.main()
