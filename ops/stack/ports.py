"""Free TCP ports of 127.0.0.1 that stay ours while this Python process lives.

A port is taken from below the kernel's ephemeral range, so that no outgoing connection can sit on
it while its server is being restarted, and is reserved against other stacks on this machine by an
abstract Unix socket, which leaves no file behind and is freed with the process.
"""

import random
import socket

HOST = "127.0.0.1"
_LOWEST = 15000
_TRIES_MAX = 500  # of about 17,000 ports; more failures than this means that something is wrong

_reservations: dict[int, socket.socket] = {}


def reserve() -> int:
    """Returns a port that nobody listens on and that no other reserve() returns meanwhile."""
    highest = _ephemeral_start() - 1
    for _ in range(_TRIES_MAX):
        port = random.randint(_LOWEST, highest)
        if port not in _reservations and _try_reserve(port):
            return port
    raise RuntimeError(f"no free port in {_LOWEST}..{highest} of {HOST}: end what listens there")


def release(port: int) -> None:
    """Gives a port of reserve() back; unknown ones are ignored."""
    holder = _reservations.pop(port, None)
    if holder is not None:
        holder.close()


def accepts(port: int, host: str = HOST) -> bool:
    """Tells whether a TCP connect succeeds now."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _try_reserve(port: int) -> bool:
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0tidemark-port-{port}")
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
    except OSError:
        holder.close()
        return False
    _reservations[port] = holder
    return True


def _ephemeral_start() -> int:
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as text:
            start = int(text.read().split()[0])
    except OSError:
        start = 32768
    return start if start > _LOWEST + 2000 else 65536
