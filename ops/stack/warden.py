"""Ends processes and removes folders whose Python process is gone, even by kill -9.

As a program it reads lines from its standard input: `+pid starttime`, `-pid`, `folder PATH`,
`keep`. At end of file it kills what is still named, each by process id and only while that id still
belongs to the same start time, and removes the folders. `keep` makes it leave all as it is.
As a module it starts that program once, at the first use, and writes those lines.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

_GONE_S_MAX = 10  # a killed process that is not gone by then is stuck in the kernel

_warden: subprocess.Popen | None = None


def watch(pid: int) -> None:
    """The process, which leads its own group, is killed when this Python process ends."""
    _tell(f"+{pid} {start_time(pid)}")


def forget(pid: int) -> None:
    """The process has been reaped."""
    _tell(f"-{pid}")


def remove_at_end(folder: str) -> None:
    """The folder is removed when this Python process ends."""
    _tell(f"folder {folder}")


def keep_all() -> None:
    """Nothing of what was told so far is ended or removed."""
    _tell("keep")


def start_time(pid: int) -> str:
    """The kernel's start time of a process, to tell it from a later one of its id; "" if none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def children(pid: int) -> list[int]:
    """The direct children of a process, also those in sessions of their own."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as text:
            return [int(child) for child in text.read().split()]
    except OSError:
        return []


def kill_tree(pid: int, started: str) -> None:
    """kill -9 of a group's leader, its group and its direct children; returns once they are gone.

    The leader is stopped first, so that it starts no child meanwhile. Nothing is done when the id
    no longer belongs to the process that started at `started`.
    """
    if not started or start_time(pid) != started:
        return
    _signal(os.kill, pid, signal.SIGSTOP)
    victims = {child: start_time(child) for child in children(pid)} | {pid: started}
    _signal(os.killpg, pid, signal.SIGKILL)
    for victim in victims:
        _signal(os.kill, victim, signal.SIGKILL)
    deadline = time.monotonic() + _GONE_S_MAX
    while any(_running(*victim) for victim in victims.items()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"process {pid} or a child of it survives kill -9")
        time.sleep(0.01)


def _running(pid: int, started: str) -> bool:
    """A zombie has ended; whoever started it reaps it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[19] == started and fields[0] not in "ZX"


def _signal(send, pid: int, number: int) -> None:
    try:
        send(pid, number)
    except ProcessLookupError:
        pass


def _tell(line: str) -> None:
    global _warden
    if _warden is None:
        _warden = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            text=True, cwd="/", start_new_session=True)
    try:
        _warden.stdin.write(line + "\n")
        _warden.stdin.flush()
    except OSError:
        pass  # somebody ended the warden; the stack still ends what it started itself


def _main() -> None:
    pids: dict[int, str] = {}
    folders: list[str] = []
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "keep":
            return
        if word == "folder":
            folders.append(rest)
        elif word.startswith("+"):
            pids[int(word[1:])] = rest
        elif word.startswith("-"):
            pids.pop(int(word[1:]), None)
    for pid, started in pids.items():
        try:
            kill_tree(pid, started)
        except (OSError, RuntimeError):
            continue
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main()
