"""The kept data set: a Postgres of its own with the application's tables at the scale of DOMAIN.

It is made once, by `ops/bench data` or by the first benchmark that needs it, and its folder is kept
between runs. A marker file, written last, says that it is whole, and by which statements and at
which scale it was made. The server runs only while a benchmark does.
"""

import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import dataset_sql
import recompute
from figures import BenchFailed, result, say
from ops.stack import ports
from ops.stack.postgres import Postgres

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DATABASE = "app"
# Nothing is kept of a load that is broken off, so nothing is flushed for it.
LOADING = {"shared_buffers": "2GB", "fsync": "off", "full_page_writes": "off",
           "synchronous_commit": "off", "wal_level": "minimal", "max_wal_senders": "0",
           "max_replication_slots": "0", "max_wal_size": "32GB", "checkpoint_timeout": "1h",
           "maintenance_work_mem": "1GB", "work_mem": "512MB", "autovacuum": "off",
           "max_prepared_transactions": "0"}
# What the benchmarks run with; planner settings stay as Postgres ships them.
RUNNING = {"shared_buffers": "2GB", "fsync": "on", "full_page_writes": "on",
           "synchronous_commit": "on", "wal_level": "logical", "max_wal_senders": "10",
           "max_replication_slots": "10", "max_wal_size": "8GB", "checkpoint_timeout": "30min",
           "maintenance_work_mem": "64MB", "work_mem": "4MB", "autovacuum": "on",
           "max_prepared_transactions": "0", "track_commit_timestamp": "on"}
REFERENCED = {"blocks"}  # by foreign keys: it keeps its indexes
SESSIONS = 2  # that load side by side
GIB = 1 << 30
BYTES_FULL = 24 * GIB  # of the whole set, at most


class Dataset:
    """start() makes the set if it is missing, and runs its server; stop() ends the server.

    `folder` may hold sets of several scales. One process uses a set at a time.
    """

    def __init__(self, folder: str, scale: Fraction):
        self.scale, self.sizes = scale, dataset_sql.Sizes.at(scale)
        name = f"scale-{scale.numerator}-{scale.denominator}"
        self.folder = os.path.join(os.path.abspath(folder), name)
        self._marker = os.path.join(self.folder, "complete.json")
        self.postgres: Postgres | None = None
        self.about: dict = {}  # the marker's content

    def start(self) -> None:
        try:
            if not self._is_complete():
                self._make()
            self._serve(RUNNING)
        except BaseException:
            self.stop()
            raise
        with open(self._marker, encoding="utf-8") as text:
            self.about = json.load(text)
        say(f"data set at scale {self.scale}: {self.folder}, {size_of(self.folder) / GIB:.1f} GiB; "
            f"Postgres 15: {', '.join(f'{name} {value}' for name, value in RUNNING.items())}")

    def stop(self) -> None:
        if self.postgres is not None:
            self.postgres.stop()
            ports.release(self.postgres.port)
            self.postgres = None

    def sql(self, text: str, parameters=None) -> list[tuple]:
        return self.postgres.execute(text, parameters, dbname=DATABASE)

    # -- the server
    def _is_complete(self) -> bool:
        try:
            with open(self._marker, encoding="utf-8") as text:
                about = json.load(text)
        except (OSError, ValueError):
            return False
        return about.get("version") == dataset_sql.VERSION

    def _serve(self, settings: dict[str, str]) -> None:
        """Its port is another one each time, so all settings are written anew."""
        self.stop()
        self.postgres = Postgres(self.folder, settings=settings)
        if os.path.exists(os.path.join(self.postgres.data, "PG_VERSION")):
            self.postgres.configure(**self.postgres.settings)
        self.postgres.start()

    # -- making
    def _make(self) -> None:
        self._demand_room()
        say(f"making the data set at scale {self.scale} in {self.folder}; it is kept")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        begin = time.monotonic()
        self._serve(LOADING)
        self.postgres.create_database(DATABASE)
        self.postgres.psql(os.path.join(REPO, "ops", "app", "schema.sql"), DATABASE)
        self.sql("update challenges set active = true where id <> 'cs'")
        later = _Later(self)
        rows = self._side_by_side([(later.fill, table, [statement])
                                   for table, statement in dataset_sql.loads(self.sizes)])
        rows += self._side_by_side([(later.fill, table, [statement])
                                    for table, statement in recompute.FILL.items()])
        for table, statements in dataset_sql.CHALLENGES:
            rows += self._side_by_side([(later.fill, table, statements)])
        self._make_indexes()
        self._vacuum()
        seconds = time.monotonic() - begin
        say(f"{rows:,} rows in {seconds:.0f} s with their indexes, {rows / seconds:,.0f} rows/s")
        self.postgres.execute("checkpoint")
        (highest,), = self.sql("select max(id) from notification")
        self.stop()
        self._mark({"version": dataset_sql.VERSION, "scale": str(self.scale), "rows": rows,
                    "seconds": round(seconds), "bytes": size_of(self.folder),
                    "last_notification": highest})

    def _demand_room(self) -> None:
        os.makedirs(os.path.dirname(self.folder), exist_ok=True)
        free = shutil.disk_usage(os.path.dirname(self.folder)).free
        wanted = BYTES_FULL * self.scale + GIB
        if free < wanted:
            raise BenchFailed(f"{self.folder} needs {float(wanted) / GIB:.0f} GiB and there are "
                              f"{free / GIB:.0f}: name a folder with more room by --data, or a "
                              "smaller --scale")

    def _side_by_side(self, jobs: list[tuple]) -> int:
        with ThreadPoolExecutor(SESSIONS) as pool:
            running = [pool.submit(*job) for job in jobs]
            return sum(job.result() for job in running)

    def _make_indexes(self) -> None:
        """Those that Tidemark's rules and triggers need; most are the application's already."""
        folder = os.path.join(REPO, "sql", "indexes")
        for name in sorted(os.listdir(folder)):
            self.postgres.psql(os.path.join(folder, name), DATABASE)

    def _vacuum(self) -> None:
        """At the end: beside an open load, rows of others that are just committed stay unfrozen."""
        begin = time.monotonic()
        tables = [table for table, in self.sql(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind = 'r' order by relpages desc")]
        self._side_by_side([(self._vacuum_table, table) for table in tables])
        say(f"  vacuum: {time.monotonic() - begin:.0f} s")

    def _vacuum_table(self, table: str) -> int:
        self.sql(f"vacuum (freeze, analyze) {table}")
        return 0

    def _mark(self, about: dict) -> None:
        """Last, and flushed after all that it speaks for."""
        os.sync()
        with open(self._marker + ".part", "w", encoding="utf-8") as out:
            json.dump(about, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(self._marker + ".part", self._marker)


class _Later:
    """Takes a table's indexes away before it is filled, and makes them afterwards."""

    def __init__(self, dataset: Dataset):
        self._dataset = dataset
        self._saying = threading.Lock()
        self._filled: dict[str, int] = {}

    def fill(self, table: str, statements: list[str]) -> int:
        """How many rows it has got; a table that is filled a second time keeps its indexes."""
        connection = self._dataset.postgres.connect(DATABASE)
        try:
            with connection.cursor() as cursor:
                return self._fill(cursor, table, statements)
        finally:
            connection.close()

    def _fill(self, cursor, table: str, statements: list[str]) -> int:
        begin, rows = time.monotonic(), 0
        # No foreign keys: they hold by construction, and are looked up one by one.
        cursor.execute("set session_replication_role = replica")
        again = table in self._filled
        cursor.execute("begin")
        indexes = [] if again else _take_indexes(cursor, table)
        if not again and table not in REFERENCED:
            # What is written to a table that is new in its transaction needs no log.
            cursor.execute(f"truncate {table}")
        for statement in statements:
            cursor.execute(statement)
            rows += cursor.rowcount
        filled_s = time.monotonic() - begin
        for index in indexes:
            cursor.execute(index)
        cursor.execute("commit")
        cursor.execute(f"analyze {table}")
        self._filled[table] = rows
        with self._saying:
            say(f"  {table}: {rows:,} rows in {filled_s:.0f} s, {rows / filled_s:,.0f} rows/s; "
                f"indexes {time.monotonic() - begin - filled_s:.0f} s")
        return rows


_INDEXES = """
select 'constraint', conname, format('alter table %%s add constraint %%I %%s', conrelid::regclass,
                                     conname, pg_get_constraintdef(oid))
  from pg_constraint where conrelid = %(table)s::regclass and contype in ('p', 'u')
union all
select 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index
 where indrelid = %(table)s::regclass
   and not exists (select from pg_constraint where conindid = indexrelid)
 order by 1, 2"""


def _take_indexes(cursor, table: str) -> list[str]:
    """Drops a table's indexes; gives the statements that make them again."""
    if table in REFERENCED:
        return []
    cursor.execute(_INDEXES, {"table": table})
    taken = cursor.fetchall()
    for kind, name, _ in taken:
        cursor.execute(f"drop index {name}" if kind == "index" else
                       f'alter table {table} drop constraint "{name}"')
    return [statement for _, _, statement in taken]


def size_of(folder: str) -> int:
    """Bytes that a folder takes on the disk."""
    return sum(os.lstat(os.path.join(where, name)).st_blocks * 512
               for where, _, names in os.walk(folder) for name in names)


def data(options) -> list[dict]:
    """Makes the set, or says that it is there."""
    dataset = Dataset(options.data, options.scale)
    dataset.start()
    dataset.stop()
    about = dataset.about
    return [result("rows a second, with their indexes", about["rows"] / about["seconds"], "rows/s"),
            result("rows", about["rows"], "rows"),
            result("time", about["seconds"], "s"),
            result("size on disk", about["bytes"] / GIB, "GiB")]
