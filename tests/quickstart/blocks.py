"""The quickstart's blocks, taken from README.md as it stands there.

A block is fenced, and a comment on the line above its fence, which no reader sees, says what it is:

    <!-- quickstart: settings -->    `export NAME=value`: what differs on each machine; first, and once
    <!-- quickstart: file=NAME -->   saved under this name, which its first line says to the reader, too
    <!-- quickstart: run -->         given to the shell
    <!-- quickstart: look -->        given to the shell until it prints what its lines that begin with `# ` say

Every fenced block of a section with such comments has one, so that nothing stands there untried.
"""

import re
import shlex
import textwrap
from dataclasses import dataclass

_COMMENT = re.compile(r"<!--\s*quickstart\b")
_MARKER = re.compile(r"<!-- quickstart: (\w+)(?:=([\w./-]+))? -->")
_FENCE = re.compile(r"\s*```")
_ANSWER = "# "
_KINDS = ("settings", "file", "run", "look")

# What a reader is shown, whatever else he is.
FILES = ("tidemark.toml",)
COMMANDS = ("tidemark migrate --print-grants", "tidemark migrate", "tidemark validate", "tidemark run", "tidemark verify",
            "tidemark status")


class Mistake(Exception):
    """The README is not what a quickstart must be; the text begins with the line."""

    def __init__(self, line: int, text: str):
        super().__init__(f"README.md:{line}: {text}")


@dataclass(frozen=True)
class Block:
    """`line` is that of its first line of text; `name` a file's, else empty."""
    line: int
    kind: str
    name: str
    text: str

    @property
    def answer(self) -> list[str]:
        """What a `look` must print."""
        return [line.removeprefix(_ANSWER).rstrip() for line in self.text.splitlines() if line.startswith(_ANSWER)]

    def runs(self, command: str) -> bool:
        """Whether a line of it is this command, with other arguments, a pipe or a comment behind or not."""
        return any(line == command or re.match(re.escape(command) + r" +[|&#<>]", line) for line in self.text.splitlines())

    def settings(self) -> dict[str, str]:
        """The names that are exported, with the reader's example of a value."""
        found = {}
        for number, text in enumerate(self.text.splitlines(), self.line):
            for word in shlex.split(text, comments=True):
                name, equals, value = word.partition("=")
                if equals:
                    found[name] = value
                elif word != "export":
                    raise Mistake(number, f"`{word}` among the settings: they are `export NAME=value ...`")
        return found


def extract(text: str) -> list[Block]:
    """The marked blocks in their order; raises Mistake for the first thing that is wrong with them."""
    lines = text.splitlines()
    found, begin, sections = [], 0, {}  # those with markers, by their first line
    at = 0
    while at < len(lines):
        if lines[at].startswith("## "):
            begin = at + 1
        if _COMMENT.search(lines[at]):
            found.append(_block(lines, at))
            sections[begin] = None
        at = _after_fence(lines, at) if _FENCE.match(lines[at]) else at + 1
    for section in sections:
        _demand_marks(lines, section)
    _demand_whole(found)
    return found


def _block(lines: list[str], at: int) -> Block:
    """The block below the marker at this index."""
    marker = _MARKER.fullmatch(lines[at].strip())
    kind, name = marker.groups(default="") if marker else ("", "")
    if kind not in _KINDS or (kind == "file") != bool(name):
        raise Mistake(at + 1, f"an unknown marker: {lines[at].strip()}; there are settings, file=NAME, run and look")
    if at + 1 == len(lines) or not _FENCE.match(lines[at + 1]):
        raise Mistake(at + 1, "the block is missing: a marker stands on the line above a fenced block")
    end = _after_fence(lines, at + 1)
    block = Block(at + 3, kind, name, textwrap.dedent("\n".join(lines[at + 2:end - 1])) + "\n")
    if not block.text.strip():
        raise Mistake(block.line, "the block is empty")
    if name and name not in block.text.splitlines()[0]:
        raise Mistake(block.line, f"the first line must tell the reader that this is {name}")
    if kind == "look" and not block.answer:
        raise Mistake(block.line, "no line that begins with `# ` says what this must print")
    return block


def _after_fence(lines: list[str], at: int) -> int:
    """The index behind the fenced block that begins at this one."""
    for end in range(at + 1, len(lines)):
        if _FENCE.match(lines[end]):
            return end + 1
    raise Mistake(at + 1, "this fenced block has no end")


def _demand_marks(lines: list[str], section: int) -> None:
    """Each fenced block of the section that begins at this index must have a marker."""
    at = section
    while at < len(lines) and not lines[at].startswith("## "):
        if not _FENCE.match(lines[at]):
            at += 1
            continue
        if not _COMMENT.search(lines[at - 1]):
            raise Mistake(at + 1, "a block of the quickstart without a marker above it")
        at = _after_fence(lines, at)


def _demand_whole(blocks: list[Block]) -> None:
    if [block.kind for block in blocks].count("settings") != 1 or blocks[0].kind != "settings":
        line = blocks[0].line if blocks else 1
        raise Mistake(line, "the quickstart begins with its one block of settings, and it is missing here")
    last = blocks[-1].line
    for name in FILES:
        if not any(block.name == name for block in blocks):
            raise Mistake(last, f"up to this last block there is none of {name}")
    for command in COMMANDS:
        if not any(block.kind in ("run", "look") and block.runs(command) for block in blocks):
            raise Mistake(last, f"up to this last block none runs `{command}`")
