"""The peer of the flat chain: what bare sorted upserts reach in as many sessions.

Each session has a table of its own, so that none ever waits for another, and does nothing else:
its arrays are made before the clock starts. As a program, it is one session.
"""

import argparse
import dataclasses
import json
import random
import subprocess
import sys
import time

import psycopg2

import figures
from figures import BenchFailed

BATCH_ROWS = 20_000
TABLES = (("aggregate_user", "user_id"), ("aggregate_track", "track_id"))
_READY, _GO = "ready", "go"


@dataclasses.dataclass
class UpsertRun:
    rows: int
    wall_s: float
    cpu_s: float       # of Postgres, all processes
    wal_bytes: int

    @property
    def rate(self) -> float:
        return self.rows / self.wall_s


def run_upserts(bed, rows: int, batches: int) -> UpsertRun:
    """Two concurrent sessions of `batches` batches each, over tables of so many rows."""
    database = bed.fresh(rows)
    try:
        return _measure(bed, database, rows, batches)
    finally:
        bed.drop(database)


def _measure(bed, database: str, rows: int, batches: int) -> UpsertRun:
    sessions = [_start(bed.postgres.dsn(database), table, key, rows, batches, seed)
                for seed, (table, key) in enumerate(TABLES)]
    try:
        for session in sessions:
            if session.stdout.readline().strip() != _READY:
                raise BenchFailed("an upsert session did not start")
        (wal_from,), = bed.postgres.execute("select pg_current_wal_insert_lsn()")
        before = figures.postgres_seconds(bed.postgres.process.pid)
        for session in sessions:
            session.stdin.write(_GO + "\n")
            session.stdin.flush()
        reports = [json.loads(session.stdout.readline() or "null") for session in sessions]
        after = figures.postgres_seconds(bed.postgres.process.pid)
        (wal_bytes,), = bed.postgres.execute("select pg_current_wal_insert_lsn() - %s::pg_lsn",
                                             (wal_from,))
    finally:
        for session in sessions:
            session.stdin.close()  # it waits for that, so that its backend is there to be measured
            session.wait(60)
    if None in reports:
        raise BenchFailed("an upsert session failed")
    began, ended = min(r["began"] for r in reports), max(r["ended"] for r in reports)
    return UpsertRun(sum(r["rows"] for r in reports), ended - began,
                     sum(figures.minus(after, before).values()), int(wal_bytes))


def _start(dsn: str, table: str, key: str, rows: int, batches: int, seed: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, __file__, "--dsn", dsn, "--table", table, "--key", key, "--rows",
         str(rows), "--batches", str(batches), "--seed", str(seed)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _session(arguments) -> None:
    draw = random.Random(arguments.seed)
    size = min(BATCH_ROWS, arguments.rows)
    ones = "{" + ",".join(["1"] * size) + "}"
    keys = ["{" + ",".join(map(str, sorted(draw.sample(range(1, arguments.rows + 1), size)))) + "}"
            for _ in range(arguments.batches)]
    connection = psycopg2.connect(arguments.dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("set synchronous_commit = off")
    cursor.execute(f"""prepare bare(integer[], integer[]) as
        insert into {arguments.table} as t ({arguments.key}, repost_count)
        select * from unnest($1, $2) on conflict ({arguments.key})
        do update set repost_count = t.repost_count + excluded.repost_count""")
    print(_READY, flush=True)
    if sys.stdin.readline().strip() != _GO:
        return
    began = time.monotonic()  # one clock for all processes of a machine
    for batch in keys:
        cursor.execute("execute bare(%s, %s)", (batch, ones))
    print(json.dumps({"began": began, "ended": time.monotonic(), "rows": size * len(keys)}),
          flush=True)
    sys.stdin.readline()


def _main() -> None:
    parser = argparse.ArgumentParser(description="One session of bare sorted upserts.")
    for name in ("--dsn", "--table", "--key"):
        parser.add_argument(name, required=True)
    for name in ("--rows", "--batches", "--seed"):
        parser.add_argument(name, required=True, type=int)
    _session(parser.parse_args())


if __name__ == "__main__":
    _main()
