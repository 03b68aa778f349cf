"""A TCP proxy in front of Postgres that delays, goes silent, or cuts a connection at its COMMIT.

It runs in a thread of its own; every method may be called from any other thread. It answers the
request for encryption with no, so that it can read along. What counts as COMMIT: a simple query
that holds one, or the Execute of a prepared one.
"""

import asyncio
import re
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field

from . import ports
from .process import StackError, wait_until

_CHUNK = 64 * 1024
_CALL_S_MAX = 10
_SSL_REQUEST, _GSS_REQUEST, _CANCEL_REQUEST = 80877103, 80877104, 80877102
_COMMIT = re.compile(rb"(?:^|;)\s*(?:commit|end)(?:\s+(?:work|transaction))?\s*(?:;|\0|$)", re.I)


@dataclass
class Cut:
    """A connection that was cut: `reply` is the server's tag, "" when COMMIT was not forwarded."""
    before: bool
    reply: str


@dataclass
class _Armed:
    before: bool
    left: int
    skip: int
    touching: bytes
    hold: bool


@dataclass(eq=False)
class _Link:
    """One client connection and its server side, and what was read along on it."""
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    prepared: dict[bytes, bytes] = field(default_factory=dict)
    portals: dict[bytes, bytes] = field(default_factory=dict)
    seen: list[bytes] = field(default_factory=list)  # statements of the open transaction
    swallow: bool = False  # COMMIT was forwarded; its reply is not passed on
    hold: bool = False  # and the connection stays open afterwards, silent

    def abort(self) -> None:
        for side in (self.client, self.server):
            if side is not None:
                side.transport.abort()


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes connections on to `upstream_port`.

    A black hole keeps connections open and moves no byte; the kernel still acknowledges, so only
    timeouts of the application find it. `cuts` lists what was cut, oldest first.
    """

    def __init__(self, upstream_port: int, *, upstream_host: str = ports.HOST):
        self.port = ports.reserve()
        self.cuts: list[Cut] = []
        self.connections = 0
        self._upstream = (upstream_host, upstream_port)
        self._armed: _Armed | None = None
        self._lock = threading.Lock()
        self._to_server_s = 0.0
        self._to_client_s = 0.0
        self._refusing = False
        self._links: set[_Link] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._open: asyncio.Event | None = None

    def start(self) -> "Proxy":
        """Returns when it listens."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._call(self._listen())
        return self

    def stop(self) -> None:
        """Closes the listener and cuts every connection."""
        if self._loop is None:
            return
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_S_MAX)
        self._loop.close()
        self._loop = None
        ports.release(self.port)

    def dsn(self, dbname: str = "postgres", user: str = "postgres") -> str:
        """A libpq connection string that goes through here."""
        return f"host={ports.HOST} port={self.port} dbname={dbname} user={user}"

    def delay(self, *, to_server_s: float = 0, to_client_s: float = 0) -> None:
        """Holds every chunk back by this long; 0 ends it. Throughput stays."""
        self._to_server_s, self._to_client_s = to_server_s, to_client_s

    def black_hole(self, on: bool) -> None:
        """Stops (or resumes) all transfer, on connections open and new."""
        self._call(self._set_open(not on))

    def refuse(self, on: bool) -> None:
        """New connections are closed at once, as by a server that is down."""
        self._refusing = on

    def cut_all(self) -> int:
        """Cuts every open connection now; returns how many."""
        return self._call(self._cut_all())

    def cut_at_commit(self, *, before: bool, count: int = 1, skip: int = 0,
                      touching: str = "", hold: bool = False) -> None:
        """Arms `count` cuts, after letting `skip` COMMITs pass; count=0 disarms.

        before=True: the server never gets the COMMIT. before=False: the server has answered it, and
        the client never learns; with `hold` its connection then stays open and silent until either
        side ends it. With `touching`, only transactions that ran a statement with this text in it
        (case-sensitive) count.
        """
        with self._lock:
            self._armed = _Armed(before, count, skip, touching.encode(), hold) if count else None

    def armed(self) -> int:
        """How many cuts are still to come."""
        with self._lock:
            return self._armed.left if self._armed else 0

    def wait_cuts(self, total: int, timeout_s: float = 30) -> None:
        """Waits until `cuts` holds this many since the start."""
        wait_until(lambda: len(self.cuts) >= total, timeout_s, f"{total} cuts at COMMIT")

    def _call(self, work: Coroutine):
        if self._loop is None:
            work.close()
            raise StackError("the proxy is not running")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_S_MAX)

    async def _listen(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._server = await asyncio.start_server(self._serve, ports.HOST, self.port)

    async def _close(self) -> None:
        self._server.close()
        await self._cut_all()
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _set_open(self, is_open: bool) -> None:
        (self._open.set if is_open else self._open.clear)()

    async def _cut_all(self) -> int:
        links = list(self._links)
        for link in links:
            link.abort()
        return len(links)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        if self._refusing:
            link.abort()
            return
        self._links.add(link)
        self.connections += 1
        pumps = []
        try:
            first = await self._startup(reader, writer)
            upstream, link.server = await asyncio.open_connection(*self._upstream)
            pumps = [asyncio.ensure_future(self._client_to_server(reader, link, first)),
                     asyncio.ensure_future(self._server_to_client(upstream, link))]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side hung up, which the other one learns below
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            link.abort()
            self._links.discard(link)

    async def _startup(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Reads up to the startup (or cancel) packet and returns it; declines encryption."""
        while True:
            head = await reader.readexactly(8)
            length, code = struct.unpack("!II", head)
            await self._open.wait()
            if code not in (_SSL_REQUEST, _GSS_REQUEST):
                return head + await reader.readexactly(length - 8)
            writer.write(b"N")

    async def _client_to_server(self, reader: asyncio.StreamReader, link: _Link,
                                first: bytes) -> None:
        line = _Line(link.server, self._open)
        try:
            await line.put(first, self._to_server_s)
            while True:
                message = await _read_message(reader)
                if _is_commit(link, message) and self._take_cut(link):
                    return
                await line.put(message, self._to_server_s)
        except (OSError, asyncio.IncompleteReadError):
            await line.drain()
        finally:
            line.close()

    async def _server_to_client(self, reader: asyncio.StreamReader, link: _Link) -> None:
        line = _Line(link.client, self._open)
        try:
            while True:
                chunk = await reader.read(_CHUNK)
                if not chunk:
                    await line.drain()
                    return
                if link.swallow:
                    await self._swallow(reader, link, chunk)
                    return
                await line.put(chunk, self._to_client_s)
        except OSError:
            return
        finally:
            line.close()

    def _take_cut(self, link: _Link) -> bool:
        """Decides at a COMMIT; true when the connection has to end here, unforwarded."""
        with self._lock:
            armed = self._armed
            ours = armed is not None and (not armed.touching or
                                          any(armed.touching in text for text in link.seen))
            link.seen.clear()
            if not ours:
                return False
            if armed.skip:
                armed.skip -= 1
                return False
            armed.left -= 1
            if not armed.left:
                self._armed = None
        if armed.before:
            self.cuts.append(Cut(True, ""))
            return True
        link.swallow, link.hold = True, armed.hold
        return False

    async def _swallow(self, reader: asyncio.StreamReader, link: _Link, data: bytes) -> None:
        """Reads the server's answer to COMMIT up to ReadyForQuery, passes nothing on, and cuts.

        All replies before COMMIT's own have been passed on whole, as clients send COMMIT when
        nothing else is outstanding; in a pipeline the cut comes with the first ReadyForQuery.
        """
        reply = ""
        try:
            while True:
                kind, body, data = await _take_message(reader, data)
                if kind == b"C":
                    reply = body.rstrip(b"\0").decode("utf-8", "replace")
                elif kind == b"E":
                    reply = "ERROR"
                if kind == b"Z" or reply == "COMMIT":
                    break
        except asyncio.IncompleteReadError:
            reply = "connection lost"
        if not link.hold:
            link.abort()
        self.cuts.append(Cut(False, reply))
        while link.hold and await reader.read(_CHUNK):
            pass


class _Line:
    """One direction of a link: hands chunks on in order, each after its delay."""

    _CHUNKS_MAX = 1024  # past this a delayed direction stops reading, as a full pipe does

    def __init__(self, out: asyncio.StreamWriter, is_open: asyncio.Event):
        self._out = out
        self._open = is_open
        self._queue: asyncio.Queue = asyncio.Queue(self._CHUNKS_MAX)
        self._task = asyncio.ensure_future(self._run())

    async def put(self, chunk: bytes, delay_s: float) -> None:
        if self._task.done():
            raise ConnectionError("the other side is gone")
        await self._queue.put((asyncio.get_running_loop().time() + delay_s, chunk))

    async def drain(self) -> None:
        """Waits until all is handed on."""
        if not self._task.done():
            waiter = asyncio.ensure_future(self._queue.join())
            await asyncio.wait([waiter, self._task], return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()

    def close(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                due, chunk = await self._queue.get()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                await self._open.wait()
                self._out.write(chunk)
                await self._out.drain()
                self._queue.task_done()
        except OSError:
            return


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)


async def _take_message(reader: asyncio.StreamReader, data: bytes) -> tuple[bytes, bytes, bytes]:
    """One message off `data`, reading more as needed: (kind, body, rest)."""
    while len(data) < 5 or len(data) < 1 + struct.unpack("!I", data[1:5])[0]:
        more = await reader.read(_CHUNK)
        if not more:
            raise asyncio.IncompleteReadError(data, None)
        data += more
    end = 1 + struct.unpack("!I", data[1:5])[0]
    return data[:1], data[5:end], data[end:]


def _is_commit(link: _Link, message: bytes) -> bool:
    """Follows a client message; true when it makes the server commit."""
    kind, body = message[:1], message[5:]
    if kind == b"Q":
        link.seen.append(body)
        return bool(_COMMIT.search(body))
    if kind == b"P":
        name, text = body.split(b"\0", 2)[:2]
        link.prepared[name] = text
    elif kind == b"B":
        portal, name = body.split(b"\0", 2)[:2]
        link.portals[portal] = link.prepared.get(name, b"")
    elif kind == b"E":
        text = link.portals.get(body.split(b"\0", 1)[0], b"")
        link.seen.append(text)
        return bool(_COMMIT.search(text))
    return False
