#!/usr/bin/python3
"""Makes ops/docs/CONFIG.md from ops/tidemark.example.toml, which explains each key once, and from the bounds in
consumer/service/config.cc.

usage: ops/docs/config_reference.py [--write]     prints it; --write replaces the file
"""
import math
import os
import re
import sys

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(REPO, "ops", "tidemark.example.toml")
PARSER = os.path.join(REPO, "consumer", "service", "config.cc")
OUT = os.path.join(REPO, "ops", "docs", "CONFIG.md")

HEAD = """# Configuration

<!-- Made by ops/docs/config_reference.py --write from ops/tidemark.example.toml: change that file. -->

A member reads one TOML file: `tidemark run --config tidemark.toml`. All members of a group are given the same one.
`tidemark validate` checks it, the declarations and the database, and names file, line and column of each slip.

"""
TAIL = """
## How to
- **Secrets**: never in the file. `${NAME}` is replaced by the environment variable; libpq also takes `passfile=` and
  `sslkey=` in `connection`, librdkafka `ssl.key.location`. No secret is ever printed or logged.
- **More members**: start them, with the same file and another `[http] listen` when they share a machine. More members
  than partitions of the busiest topic don't help.
- **Less lag in bursts**: `[batch] lanes`, when Postgres is what is waited for. **Less load on Postgres**: a larger
  `age_max_ms`; each change is then visible that much later.
- **A pass takes longer than `[recount] every_ms`**: the next one begins when it ends; nothing overlaps.
- **Single keys from the environment**: `TIDEMARK__SECTION__KEY` comes before the file, typed as there
  (`TIDEMARK__BATCH__LANES=4`, `TIDEMARK__RECOUNT__ENABLED=false`, a list with commas). In `[kafka]` an underscore is a dot
  (`TIDEMARK__KAFKA__BOOTSTRAP_SERVERS`); in `[topics.map]` the table stands as it is
  (`TIDEMARK__TOPICS__MAP__public.follows`). What names no key is refused.
- **What counts?** `tidemark config show` prints every key, where it comes from, and no secret. `tidemark config schema`
  prints a JSON Schema for editors.
- **TLS to Postgres**: `sslmode=verify-full sslrootcert=...` in `connection`; hosts beyond this machine are refused without
  it, unless `allow_unverified_hosts = true`. **To Kafka**: `security.protocol` and
  `ssl.ca.location`; host names are verified unless `ssl.endpoint.identification.algorithm` says otherwise.
"""


class Key:
    """One line of the example: `name = value`, with the comment above it."""

    def __init__(self, section, name, value, text, set_here):
        self.section, self.name, self.value, self.text, self.set_here = section, name, value, text, set_here


def read_example(path=EXAMPLE):
    """([Key], {section: text}): a comment belongs to the keys below it, up to the next comment."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    section, keys, sections, comment, fresh = "", [], {}, [], True
    for line in lines:
        set_aside = re.fullmatch(r'# ("?[\w.]+"?) = (.*)', line)
        key = re.fullmatch(r'("?[\w.]+"?) = (.*)', line) or set_aside
        header = re.fullmatch(r"\[([\w.]+)\]", line)
        if header:
            section = header[1]
            sections[section] = " ".join(comment)
            comment, fresh = [], True
        elif key:
            keys.append(Key(section, key[1], key[2], " ".join(comment), not set_aside))
            fresh = True
        elif line.startswith("#"):
            if fresh:
                comment = []
            comment.append(line.lstrip("# "))
            fresh = False
        else:
            comment, fresh = [], True
    return keys, sections


def read_bounds(path=PARSER):
    """{key: "1 to 64"} as config.cc has them."""
    with open(path, encoding="utf-8") as source:
        text = re.sub(r"\s+", " ", source.read())
    named = {name: number(value) for name, value in re.findall(r"constexpr std::int64_t (k\w+) = ([^;]+);", text)}
    bounds = {key: f"{number(low):,} to {named.get(high) or number(high):,}"
              for key, low, high in re.findall(r'count\(section, "(\w+)", ([^,]+), ([^,]+), ', text)}
    bounds |= {key: f"0 to {named[high or 'kMillisMax']:,}"
               for key, high in re.findall(r'millis\(section, "(\w+)", [^,)]+(?:, (k\w+))?\)', text)}
    return bounds


def number(text):
    """The value of a C++ integer, of which some are shifted or multiplied; None for what is none."""
    text = re.sub(r"std::int64_t\{(\d+)\}", r"\1", text.strip()).replace("'", "")
    if not re.fullmatch(r"\d+( (<<|\*) \d+)*", text):
        return None
    shifted = [math.prod(map(int, part.split("*"))) for part in text.split("<<")]
    return shifted[0] << sum(shifted[1:])


def reference():
    keys, sections = read_example()
    bounds, out = read_bounds(), [HEAD]
    for section, about in sections.items():
        mine = [key for key in keys if key.section == section]
        out.append(f"## [{section}]\n\n{about + chr(10) * 2 if about else ''}")
        out.append("| key | in the example | bounds | meaning |\n|---|---|---|---|\n")
        for key in mine:
            value = f"`{key.value}`" + ("" if key.set_here else " (not set)")
            out.append(f"| `{key.name}` | {value} | {bounds.get(key.name, '')} | {cell(key.text)} |\n")
        out.append("\n")
    return "".join(out).rstrip("\n") + "\n" + TAIL


def cell(text):
    return text.replace("|", "\\|").replace("<", "\\<")


def main():
    if sys.argv[1:] == ["--write"]:
        with open(OUT, "w", encoding="utf-8") as out:
            out.write(reference())
    elif sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 64
    else:
        print(reference(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
