#!/usr/bin/python3
"""Makes ops/docs/METRICS.md, the catalogue of what /metrics serves, from consumer/service/*metrics.cc.

usage: ops/docs/metrics_reference.py [--write]     prints it; --write replaces the file
"""
import glob
import os
import re
import sys

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.path.join(REPO, "ops", "docs", "METRICS.md")

HEAD = """# Metrics

<!-- Made by ops/docs/metrics_reference.py --write from consumer/service/*metrics.cc: change these. -->

What a member serves at `/metrics`, in Prometheus' text format. Each counts for its member alone, but for what is
marked *all*: that is read from Postgres, and each member tells the same. No label ever holds a user or a key.
`ops/grafana/tidemark.json` shows each, `ops/prometheus/alerts.yml` watches what matters.

| metric | kind | labels | meaning |
|---|---|---|---|
"""

NAME = re.compile(r'"((?:tidemark|process)_[a-z_]+)",?\)?\s*(?:\.Help\()?\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')
KIND = re.compile(r"counter|gauge|histogram", re.IGNORECASE)
LABELS = {
    "tidemark_build_info": "version, declaration",
    "tidemark_events_total": "topic, op",
    "tidemark_rows_total": "result",
    "tidemark_statement_seconds": "statement, object",
    "tidemark_lag_records": "topic, partition",
    "tidemark_lag_seconds": "topic, partition",
    "tidemark_unknown_commits_total": "ended",
    "tidemark_records_skipped_total": "reason",
    "tidemark_parked_total": "code",
    "tidemark_retries_total": "sqlstate",
    "tidemark_recount_retries_total": "sqlstate",
    "tidemark_derive_retries_total": "sqlstate",
    "tidemark_rule_failures_total": "rule, sqlstate",
    **{f"tidemark_{name}": "rule" for name in ("rule_seconds", "rule_users_total", "challenge_rows_total",
                                              "challenges_completed_total", "sweep_corrected_total", "dirty_users",
                                              "dirty_oldest_seconds")},
}
OF_ALL = {"tidemark_suspects_waiting", "tidemark_pass_age_seconds", "tidemark_dirty_users",
          "tidemark_dirty_oldest_seconds", "tidemark_dirty_failed_users"}


def catalogue():
    """{name: (kind, help)} as the sources have them."""
    found = {}
    for file in glob.glob(os.path.join(REPO, "consumer", "service", "*metrics.cc")):
        with open(file, encoding="utf-8") as source:
            text = source.read()
        for match in NAME.finditer(text):
            kinds = KIND.findall(text[max(0, match.start() - 200):match.start()])
            said = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match[2]))
            found[match[1]] = (kinds[-1].lower(), said)
    return found


def reference():
    rows = []
    for name, (kind, said) in sorted(catalogue().items()):
        labels = ", ".join(f"`{label}`" for label in LABELS.get(name, "").split(", ") if label)
        rows.append(f"| `{name}` | {kind} | {labels} | {'*all* ' if name in OF_ALL else ''}{said} |\n")
    return HEAD + "".join(rows)


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
