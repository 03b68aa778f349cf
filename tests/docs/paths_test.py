"""Documents name files that are there."""

import glob
import os
import re
import unittest

from support import path, read

DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "consumer/ARCHITECTURE.md",
    "schemas/README.md",
    *(f"ops/docs/{os.path.basename(file)}" for file in glob.glob(path("ops/docs/*.md"))),
]
ELSEWHERE = re.compile(r"(https?://|/tmp/|/usr/local/|C:\\)")


class Paths(unittest.TestCase):
    def test_each_file_that_a_document_names_is_there(self):
        named = [
            (document, name)
            for document in DOCUMENTS
            for name in re.findall(r"`((?:ops|tests|consumer|schemas|sql)/[\w./-]*[\w-])", read(document))
        ]
        self.assertGreater(len(named), 20)
        self.assertEqual([(document, name) for document, name in named if not os.path.exists(path(name))], [])

    def test_each_link_within_the_repository_leads_somewhere(self):
        for document in DOCUMENTS:
            for link in re.findall(r"\]\(([^)#]+)[^)]*\)", read(document)):
                if not ELSEWHERE.match(link):
                    self.assertTrue(
                        os.path.exists(os.path.join(os.path.dirname(path(document)), link)), f"{document}: {link}"
                    )


if __name__ == "__main__":
    unittest.main()
