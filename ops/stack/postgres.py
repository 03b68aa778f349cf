"""A Postgres 15 server of our own in a temp folder, on a free port of 127.0.0.1."""

import glob
import os
import pwd
import shutil
import signal
import stat

import psycopg2

from . import ports
from .process import Process, StackError, run, wait_until

_USER = "postgres"
_READY_S_MAX = 180
_CONNECT_S_MAX = 60
_XID_STEP = 2_000_000_000
_XIDS_PER_SEGMENT = 1 << 20

_SETTINGS = {
    "listen_addresses": ports.HOST,
    "wal_level": "logical",
    "max_connections": "300",
    "max_prepared_transactions": "20",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "max_slot_wal_keep_size": "-1",
    "wal_keep_size": "64MB",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a %u@%d ",
    "jit": "off",
}


class Postgres:
    """One server: trust authentication, superuser `postgres`, the same port over all restarts.

    Postgres refuses to run as root, so root runs it as the Unix user `postgres`, who must be able
    to pass through every parent of `workdir`. `fsync=False` is right for tests that kill processes,
    as the kernel survives these; `settings` go to postgresql.conf last. `next_xid`: a new cluster's
    transaction ids begin about there, as in one that has run for years.
    """

    def __init__(self, workdir: str, *, name: str = "postgres", fsync: bool = True,
                 settings: dict[str, str] | None = None, next_xid: int | None = None):
        self.bin = _find_bin()
        self.next_xid = next_xid
        self.folder = os.path.join(workdir, name)
        self.data = os.path.join(self.folder, "data")
        self.port = ports.reserve()
        self.host = ports.HOST
        self.settings = {**_SETTINGS, "port": str(self.port), "fsync": "on" if fsync else "off",
                         "unix_socket_directories": self.folder, **(settings or {})}
        self.process = Process(name, [f"{self.bin}/postgres", "-D", self.data],
                               os.path.join(workdir, f"{name}.log"), user=_USER)

    def start(self) -> None:
        """Makes the cluster at the first call, then runs it until it takes connections."""
        if not os.path.exists(os.path.join(self.data, "PG_VERSION")):
            self._initdb()
            if self.next_xid:
                self._age_to(self.next_xid)
        self._start_server()

    def stop(self, mode: str = "fast") -> None:
        """pg_ctl's modes: smart waits for clients, fast ends them, immediate skips a checkpoint."""
        number = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        self.process.stop(number, timeout_s=60)

    def kill9(self) -> None:
        """kill -9 of the postmaster and every backend; returns when they are gone."""
        self.process.kill9()

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def configure(self, **settings: str) -> None:
        """Adds settings to postgresql.conf; a restart or pg_reload_conf() makes them count."""
        self.settings.update(settings)
        self._write_settings(settings)

    def dsn(self, dbname: str = "postgres", user: str = _USER, port: int | None = None) -> str:
        """A libpq connection string; `port` for one that goes through a proxy."""
        return f"host={self.host} port={port or self.port} dbname={dbname} user={user}"

    def connect(self, dbname: str = "postgres", user: str = _USER, *, autocommit: bool = True):
        """A psycopg2 connection."""
        connection = psycopg2.connect(self.dsn(dbname, user), connect_timeout=_CONNECT_S_MAX)
        connection.autocommit = autocommit
        return connection

    def execute(self, sql: str, parameters=None, *, dbname: str = "postgres") -> list[tuple]:
        """Runs SQL on a connection of its own; returns the rows of the last statement, if any."""
        connection = self.connect(dbname)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def create_database(self, name: str) -> None:
        self.execute(f'create database "{name}"')

    def dump(self, dbname: str, path: str) -> None:
        """Writes a database as it is into a file, for pg_restore."""
        run([f"{self.bin}/pg_dump", "-Fc", "-f", path, self.dsn(dbname)], f"pg_dump of {dbname}", timeout_s=300)

    def psql(self, file: str, dbname: str = "postgres", variables: dict[str, str] | None = None,
             user: str = _USER) -> str:
        """Runs an SQL file and stops at its first error; returns what psql printed."""
        argv = [f"{self.bin}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1",
                "-d", self.dsn(dbname, user)]
        for key, value in (variables or {}).items():
            argv += ["-v", f"{key}={value}"]
        return run(argv + ["-f", os.path.abspath(file)], f"psql -f {file}", timeout_s=300)

    def standby(self, workdir: str, *, name: str = "standby") -> "Postgres":
        """A streaming standby made by pg_basebackup from this running server; not yet started."""
        other = Postgres(workdir, name=name, fsync=self.settings["fsync"] == "on")
        other._make_folder()
        run([f"{self.bin}/pg_basebackup", "-d", self.dsn(), "-D", other.data, "-R", "-X", "stream",
             "-c", "fast", "--no-sync"], "pg_basebackup", user=_USER)
        other._write_settings(other.settings)
        return other

    def cut_off(self) -> None:
        """A running standby gets no more from its primary."""
        self.execute("alter system set primary_conninfo = ''")
        self.execute("select pg_reload_conf()")
        wait_until(lambda: not self.execute("select 1 from pg_stat_wal_receiver"), _READY_S_MAX, "the end of streaming")

    def promote(self) -> None:
        """Makes a running standby the primary of a new timeline."""
        self.execute("select pg_promote(true, %s)", (_READY_S_MAX,))

    def _initdb(self) -> None:
        self._make_folder()
        run([f"{self.bin}/initdb", "-D", self.data, "-U", _USER, "-A", "trust", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync", "--no-instructions"], "initdb", user=_USER)
        self._write_settings(self.settings)

    def _age_to(self, xid: int) -> None:
        """In steps below 2^31, each frozen: what is older would be out of reach."""
        for step in range(_XID_STEP, xid + _XID_STEP, _XID_STEP):
            step = min(step, xid)
            # The page of the commit log that the next id is looked up in must be there.
            segment = os.path.join(self.data, "pg_xact", f"{step // _XIDS_PER_SEGMENT:04X}")
            run(["/usr/bin/dd", "if=/dev/zero", f"of={segment}", "bs=262144", "count=1", "status=none"],
                "a segment of pg_xact", user=_USER)
            run([f"{self.bin}/pg_resetwal", "-x", str(step), "-D", self.data], "pg_resetwal", user=_USER)
            self._start_server()
            self.execute("update pg_database set datallowconn = true")
            for (database,) in self.execute("select datname from pg_database"):
                self.execute("vacuum (freeze)", dbname=database)
            self.execute("update pg_database set datallowconn = false where datname = 'template0'")
            self.stop()

    def _make_folder(self) -> None:
        os.makedirs(self.folder, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self.folder, _USER, _USER)
            _check_passable(self.folder)

    def _write_settings(self, settings: dict[str, str]) -> None:
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
            for key, value in settings.items():
                quoted = value.replace("'", "''")
                conf.write(f"{key} = '{quoted}'\n")

    def _start_server(self) -> None:
        self.process.start()
        self.process.wait_ready(self._takes_connections, _READY_S_MAX, "taking connections")

    def _takes_connections(self) -> bool:
        try:
            self.connect().close()
            return True
        except psycopg2.OperationalError:
            return False


def _find_bin() -> str:
    found = sorted(glob.glob("/usr/lib/postgresql/15/bin/postgres"))
    if not found:
        raise StackError("Postgres 15 is not installed: run ops/setup --stack")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(_USER)
        except KeyError:
            raise StackError("there is no Unix user postgres: run ops/setup --stack") from None
    return os.path.dirname(found[0])


def _check_passable(folder: str) -> None:
    parent = os.path.dirname(os.path.abspath(folder))
    while parent != "/":
        if not os.stat(parent).st_mode & stat.S_IXOTH:
            raise StackError(f"the user postgres can't pass through {parent}: chmod o+x it, or set "
                             "TMPDIR to a folder that everybody may pass through, like /tmp")
        parent = os.path.dirname(parent)
