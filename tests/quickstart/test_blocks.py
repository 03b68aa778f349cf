"""What blocks.py finds in a page, and that it names the line of what is wrong."""

import unittest

from blocks import Mistake, extract

PAGE = """# A page

```sh
other sections have blocks of their own
```

## Quickstart
<!-- quickstart: settings -->
```sh
export A=1 B='two words'   # said to the reader
export C=3
```

<!-- quickstart: file=tidemark.toml -->
```toml
# tidemark.toml
[kafka]
```
<!-- quickstart: run -->
```sh
tidemark migrate --print-grants | psql
tidemark migrate     # the state
tidemark validate
tidemark run &
```
<!-- quickstart: look -->
```sh
echo 1; echo 2   # two lines
# 1
# 2
```
<!-- quickstart: run -->
```sh
tidemark verify
tidemark status
```

## More
```sh
of another section
```
"""


class Blocks(unittest.TestCase):
    def refused(self, was, becomes, line, why):
        page = PAGE.replace(was, becomes)
        self.assertNotEqual(page, PAGE)
        with self.assertRaises(Mistake) as refused:
            extract(page)
        self.assertRegex(str(refused.exception), f"^README.md:{line}: .*{why}")

    def test_blocks_come_in_their_order_with_their_lines(self):
        found = extract(PAGE)
        self.assertEqual([(block.line, block.kind, block.name) for block in found],
                         [(10, "settings", ""), (16, "file", "tidemark.toml"), (21, "run", ""), (28, "look", ""), (34, "run", "")])
        self.assertEqual(found[0].settings(), {"A": "1", "B": "two words", "C": "3"})
        self.assertEqual(found[1].text, "# tidemark.toml\n[kafka]\n")
        self.assertEqual(found[3].answer, ["1", "2"])

    def test_an_unknown_marker_is_named(self):
        self.refused("quickstart: look", "quickstart: lok", 26, "unknown marker")
        self.refused("<!-- quickstart: look -->", "<!-- quickstart : look -->", 26, "unknown marker")
        self.refused("file=tidemark.toml", "file", 14, "unknown marker")

    def test_a_missing_block_is_named(self):
        self.refused("<!-- quickstart: look -->\n", "<!-- quickstart: look -->\n\n", 26, "the block is missing")
        self.refused("<!-- quickstart: settings -->\n```sh", "```sh", 8, "without a marker")
        self.refused(PAGE[PAGE.index("<!-- quickstart: settings"):PAGE.index("<!-- quickstart: file")], "", 10, "settings")
        self.refused("# tidemark.toml\n[kafka]\n", "", 16, "empty")

    def test_a_block_without_a_marker_is_named(self):
        self.refused("<!-- quickstart: look -->\n", "", 26, "without a marker")
        self.refused("\n## More", "\n### More", 39, "without a marker")

    def test_what_no_reader_is_shown_is_named(self):
        self.refused("tidemark validate\n", "", 33, "`tidemark validate`")
        self.refused("tidemark migrate     # the state\n", "", 33, "`tidemark migrate`")
        self.refused("tidemark.toml", "other.toml", 34, "tidemark.toml")

    def test_a_file_tells_its_name_to_the_reader(self):
        self.refused("# tidemark.toml\n", "# another name\n", 16, "first line")

    def test_a_look_says_what_it_prints(self):
        self.refused("# 1\n# 2\n", "", 28, "must print")

    def test_settings_are_exports(self):
        page = extract(PAGE.replace("export C=3", "export C=3\ntouch D"))
        with self.assertRaisesRegex(Mistake, "README.md:12: `touch`"):
            page[0].settings()
