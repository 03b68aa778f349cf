"""Figures of a benchmark: rows of the result, medians, CPU seconds and memory from /proc."""

import os
import statistics

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class BenchFailed(Exception):
    """A run that proves nothing: counts that differ, a process that ended, a tool that failed."""


def say(text: str) -> None:
    print(text, flush=True)


def result(name: str, value: float, unit: str, peer: str | None = None,
           peer_value: float | None = None) -> dict:
    """One row of the last line. `ratio` is value / peer_value."""
    ratio = value / peer_value if peer_value else None
    return {"name": name, "value": _short(value), "unit": unit, "peer": peer,
            "peer_value": _short(peer_value), "ratio": _short(ratio)}


def median(values) -> float:
    return statistics.median(list(values))


def _short(value: float | None) -> float | None:
    """Four digits: more is noise."""
    return None if value is None else float(f"{value:.4g}")


# -- CPU
def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its ended threads; 0 when it is gone."""
    return _times(f"/proc/{pid}/stat")


def thread_seconds(pid: int) -> dict[str, float]:
    """CPU seconds by thread name. Threads of one name add up; the first thread is `main`."""
    found: dict[str, float] = {}
    for thread in _listdir(f"/proc/{pid}/task"):
        name = "main" if thread == str(pid) else _read(f"/proc/{pid}/task/{thread}/comm").strip()
        found[name] = found.get(name, 0) + _times(f"/proc/{pid}/task/{thread}/stat")
    return found


def postgres_seconds(postmaster: int) -> dict[str, float]:
    """CPU seconds of the server's processes by what they are: a role's backends, or a worker."""
    found: dict[str, float] = {}
    children = _read(f"/proc/{postmaster}/task/{postmaster}/children").split()
    for child in children:
        words = _read(f"/proc/{child}/cmdline").replace("\0", " ").split()
        kind = words[1] if len(words) > 1 else "other"
        found[kind] = found.get(kind, 0) + cpu_seconds(int(child))
    return found


def steal_seconds() -> float:
    """What the host of this virtual machine took from it, over all cores."""
    return int(_read("/proc/stat").split("\n", 1)[0].split()[8]) * _TICK_S


def all_cpu_seconds() -> float:
    """What all processes of this machine used, ours or not."""
    user, nice, system, _, _, irq, softirq = map(int, _read("/proc/stat").split()[1:8])
    return (user + nice + system + irq + softirq) * _TICK_S


# -- memory
def rss_mib(pid: int) -> float:
    """Resident memory of a process now, in MiB; 0 when it is gone."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def minus(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """What was added to each figure."""
    return {name: value - before.get(name, 0) for name, value in after.items()}


def _times(path: str) -> float:
    fields = _read(path).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S if len(fields) > 12 else 0.0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as text:
            return text.read()
    except OSError:
        return ""


def _listdir(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
