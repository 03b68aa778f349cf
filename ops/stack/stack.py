"""The real stack in one temp folder, ended by process id however its owner ends."""

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from . import ports, warden
from .connect import Connect
from .kafka import Kafka
from .member import BINARY, Member
from .postgres import Postgres
from .process import StackError
from .proxy import Proxy

PARTS = ("postgres", "kafka", "connect")


class Stack:
    """Starts `parts` on entry; ends everything and removes the folder on exit.

        with Stack() as stack:
            stack.postgres.execute("select 1")

    On SIGINT and SIGTERM the body is left by SystemExit; on kill -9 the warden cleans up.
    keep=True leaves all running after a body that ended well, and prints where; end that with
    `/usr/bin/python3 -m ops.stack.end FOLDER`. After an error it keeps nothing but prints `logs`.
    """

    def __init__(self, *, parts: tuple[str, ...] = PARTS, keep: bool = False, fsync: bool = False,
                 postgres_settings: dict[str, str] | None = None,
                 kafka_settings: dict[str, str] | None = None,
                 connect_settings: dict[str, str] | None = None, next_xid: int | None = None):
        unknown = set(parts) - set(PARTS)
        if unknown or ("connect" in parts and "kafka" not in parts):
            raise ValueError(f"parts are {PARTS}, and connect needs kafka; got {parts}")
        self.keep = keep
        self.timings: dict[str, float] = {}
        self.folder = tempfile.mkdtemp(prefix="tidemark-")
        os.chmod(self.folder, 0o755)  # the user postgres passes through it
        warden.remove_at_end(self.folder)
        self._proxies: list[Proxy] = []
        self.members: list[Member] = []
        self._extra: list[Postgres] = []
        self._handlers: dict[int, object] = {}
        try:
            self.postgres = Postgres(self.folder, fsync=fsync, settings=postgres_settings,
                                     next_xid=next_xid) if "postgres" in parts else None
            self.kafka = Kafka(self.folder, settings=kafka_settings) if "kafka" in parts else None
            self.connect = Connect(self.folder, self.kafka, settings=connect_settings) \
                if "connect" in parts else None
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def __enter__(self) -> "Stack":
        self._catch_signals()
        try:
            self.start()
        except BaseException:
            self.end()
            self._restore_signals()
            raise
        return self

    def __exit__(self, kind, problem, trace) -> None:
        try:
            if self.keep and kind is None:
                self._leave_running()
            else:
                if kind is not None and issubclass(kind, Exception):
                    print(self.logs(), file=sys.stderr)
                self.end()
        finally:
            self._restore_signals()

    def start(self) -> None:
        """Starts the parts: Postgres beside Kafka, then Connect. Notes how long each took."""
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(self._timed, "postgres", self.postgres),
                    pool.submit(self._timed, "kafka", self.kafka)]
            for job in jobs:
                job.result()
        self._timed("connect", self.connect)

    def end(self) -> None:
        """kill -9 of everything, then the folder goes. May be called again."""
        ignored = self._ignore_signals()
        try:
            for proxy in self._proxies:
                _try(proxy.stop)
            for owner in self._owners():
                _try(owner.process.kill9)
            if self.kafka is not None:
                _try(self.kafka.client.close)
            shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            for number, handler in ignored.items():
                signal.signal(number, handler)

    def proxy(self) -> Proxy:
        """A running proxy in front of this stack's Postgres."""
        proxy = Proxy(self.postgres.port).start()
        self._proxies.append(proxy)
        return proxy

    def member(self, config: str, port: int, *, name: str | None = None, binary: str = BINARY,
               env: dict[str, str] | None = None, arguments: list[str] | None = None) -> Member:
        """A member that this stack ends; not yet started."""
        member = Member(self.folder, config, port, name=name or f"member-{len(self.members) + 1}",
                        binary=binary, env=env, arguments=arguments)
        self.members.append(member)
        return member

    def standby(self, of: Postgres, *, name: str = "standby") -> Postgres:
        """A running streaming standby of a running server."""
        standby = of.standby(self.folder, name=name)
        self._extra.append(standby)
        standby.start()
        return standby

    def server(self, name: str) -> Postgres:
        """Another running server, with a history of its own."""
        server = Postgres(self.folder, name=name, fsync=False)
        self._extra.append(server)
        server.start()
        return server

    def free_port(self) -> int:
        """A port for a member's HTTP."""
        return ports.reserve()

    def path(self, name: str) -> str:
        """A file name in the stack's folder, for configurations and the like."""
        return os.path.join(self.folder, name)

    def describe(self) -> str:
        """Where everything is, one line each."""
        lines = [f"folder    {self.folder}"]
        if self.postgres:
            lines.append(f"postgres  {self.postgres.dsn()}")
        if self.kafka:
            lines.append(f"kafka     {self.kafka.bootstrap}")
        if self.connect:
            lines.append(f"connect   {self.connect.url}")
        lines += [f"{member.name:<9} http://{ports.HOST}:{member.port}" for member in self.members]
        return "\n".join(lines)

    def logs(self) -> str:
        """The end of every log, for the text of a failure."""
        return "\n\n".join(f"== {owner.process.name}: {owner.process.tail()}"
                           for owner in self._owners())

    def _owners(self) -> list:
        """What owns a process, those that depend on others first."""
        known = [*self.members, self.connect, self.kafka, *self._extra, self.postgres]
        return [owner for owner in known if owner is not None]

    def _timed(self, name: str, part) -> None:
        if part is not None:
            begin = time.monotonic()
            part.start()
            self.timings[name] = time.monotonic() - begin

    def _leave_running(self) -> None:
        for proxy in self._proxies:
            proxy.stop()
        with open(self.path("processes"), "w", encoding="ascii") as out:
            for owner in self._owners():
                if owner.process.pid:
                    out.write(f"{owner.process.pid} {warden.start_time(owner.process.pid)}\n")
        warden.keep_all()
        print(f"{self.describe()}\nend it:   /usr/bin/python3 -m ops.stack.end {self.folder}")

    def _catch_signals(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, _leave)

    def _restore_signals(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()

    def _ignore_signals(self) -> dict:
        if threading.current_thread() is not threading.main_thread():
            return {}
        return {number: signal.signal(number, signal.SIG_IGN)
                for number in (signal.SIGINT, signal.SIGTERM)}


def _leave(number: int, _frame) -> None:
    raise SystemExit(128 + number)


def _try(action: Callable[[], object]) -> None:
    """Ending goes on past a part that can't be ended, and says so."""
    try:
        action()
    except (OSError, StackError, RuntimeError) as problem:
        print(f"stack: {problem}", file=sys.stderr)
