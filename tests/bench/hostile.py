"""hostile: the chain while clients do to a member's HTTP port what they should not, and without them.

A few hundred connections that say nothing or half a request, and as many odd and huge requests as
one thread can send. /livez must answer within a second throughout. The clients use the same cores.
"""

import socket
import threading
import time

from bed import Bed
from chain import ZIPF, scale
from chain_run import run_chain
from figures import BenchFailed, median, result, say
from metrics import kept
from ops.stack import ports

SILENT = 300              # more than a member keeps
LIVE_S_MAX = 1.0
EVERY_S = 0.05            # between two rounds of odd requests
LIVE_EVERY_S = 0.25
ODD = (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", b"\x16\x03\x01\x02\x00" * 50,
       b"POST /status HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"b" * 4_000,
       b"GET /%00%ff?" + b"c=&" * 1_000 + b" HTTP/9.9\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n")


def hostile(options) -> list[dict]:
    events, ids = scale(options.quick)
    alone, beside, seen = [], [], []
    with Bed(options.build, batch=options.batch) as bed:
        topic = bed.topic(events=events, ids=ids, zipf=ZIPF)
        for number in range(options.runs):
            say(f"round {number + 1} of {options.runs}")
            alone.append(run_chain(bed, topic, ids))
            clients: list[Clients] = []
            beside.append(run_chain(bed, topic, ids,
                                    beside=lambda m, all=clients: kept(all, Clients(m))))
            seen += clients
            say(f"  {alone[-1].busy_rate:,.0f} events/s without, {beside[-1].busy_rate:,.0f} beside "
                f"{clients[0].sent:,} odd requests; /livez {clients[0].asked} times, at most "
                f"{1000 * clients[0].longest_s:.0f} ms")
    if any(one.late or not one.asked for one in seen):
        raise BenchFailed(f"/livez did not answer within {LIVE_S_MAX} s")
    return [
        result("chain beside hostile HTTP clients", median(run.busy_rate for run in beside),
               "events/s", "without", median(run.busy_rate for run in alone)),
        result("CPU of the member", 1e6 * median(run.cpu["member"] for run in beside) / events,
               "us/event", "without", 1e6 * median(run.cpu["member"] for run in alone) / events),
        result("/livez, the longest answer", 1000 * max(one.longest_s for one in seen), "ms",
               "goal, at most", 1000 * LIVE_S_MAX),
    ]


class Clients:
    """At work while the context lasts."""

    def __init__(self, member):
        self._member = member
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True)
                         for work in (self._disturb, self._probe)]
        self.sent = self.asked = self.late = 0
        self.longest_s = 0.0

    def __enter__(self) -> "Clients":
        while not self._member.is_live():
            time.sleep(0.02)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *problem) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _disturb(self) -> None:
        silent: list[socket.socket] = []
        while not self._stopping.wait(EVERY_S):
            for text in ODD:
                client = self._send(text)
                if client is not None:
                    client.close()
            for _ in range(20):
                client = self._send(b"GET /status HTTP/1.1\r\nX: ")
                if client is not None:
                    silent.append(client)
            while len(silent) > SILENT:
                silent.pop(0).close()
        for client in silent:
            client.close()

    def _send(self, text: bytes) -> socket.socket | None:
        try:
            client = socket.create_connection((ports.HOST, self._member.port), timeout=1)
            client.settimeout(0.2)
            client.sendall(text)
        except OSError:  # it hangs up on us
            return None
        self.sent += 1
        return client

    def _probe(self) -> None:
        while not self._stopping.wait(LIVE_EVERY_S):
            begin = time.monotonic()
            live = self._member.is_live()
            took = time.monotonic() - begin
            self.asked += 1
            self.late += not live or took > LIVE_S_MAX
            self.longest_s = max(self.longest_s, took)
