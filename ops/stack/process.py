"""One child process in a session of its own: started, awaited, signalled and ended by its id."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

from . import warden

_POLL_S = 0.05
_TAIL_LINES = 30


class StackError(RuntimeError):
    """A part of the stack did not do what it was asked; the text says what and where its log is."""


class Process:
    """A program that is started at most once at a time, with its output appended to one log file.

    `user` is the Unix user that it runs as when we are root; other callers run it as themselves.
    """

    def __init__(self, name: str, argv: list[str], log: str, *,
                 env: dict[str, str] | None = None, cwd: str = "/", user: str | None = None):
        self.name = name
        self.argv = argv
        self.log = log
        self.env = env
        self.cwd = cwd
        self.user = user if os.geteuid() == 0 else None
        self._child: subprocess.Popen | None = None
        self._started = ""

    @property
    def pid(self) -> int | None:
        """The process id while it is running (or stopped), else None."""
        return self._child.pid if self.running() else None

    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Spawns it; readiness is the caller's to await."""
        if self.running():
            raise StackError(f"{self.name} is running already, as process {self.pid}")
        as_user = _identity(self.user)
        environment = {**os.environ, "LC_ALL": "C.UTF-8", **(self.env or {})}
        with open(self.log, "ab") as output:
            self._child = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=environment, cwd=self.cwd, start_new_session=True, **as_user)
        self._started = warden.start_time(self._child.pid)
        warden.watch(self._child.pid)

    def send(self, number: int) -> None:
        """Sends a signal to the process itself; it must be running."""
        if not self.running():
            raise StackError(f"{self.name} is not running; it ended with {self.exit_code()}")
        self._child.send_signal(number)

    def sigstop(self) -> None:
        self.send(signal.SIGSTOP)

    def sigcont(self) -> None:
        self.send(signal.SIGCONT)

    def sigterm(self) -> None:
        self.send(signal.SIGTERM)

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 20) -> None:
        """Asks it to end and waits; kill -9 after the timeout. Does nothing when it has ended."""
        if not self.running():
            self._reap()
            return
        self._child.send_signal(number)
        try:
            self._child.wait(timeout_s)
            self._reap()
        except subprocess.TimeoutExpired:
            self.kill9()

    def kill9(self) -> None:
        """kill -9 of it, its group and its direct children; returns when they are gone."""
        if self._child is None:
            return
        if self.running():
            warden.kill_tree(self._child.pid, self._started)
        self._reap()

    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs or before the first start."""
        return None if self._child is None else self._child.poll()

    def wait_exit(self, timeout_s: float) -> int:
        """Waits until it ended by itself; returns the exit code."""
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            problem = f"{self.name} still runs after {timeout_s:g} s.\n{self.tail()}"
            raise StackError(problem) from None
        return self._reap()

    def wait_ready(self, check: Callable[[], bool], timeout_s: float, what: str = "ready") -> None:
        """Waits until check() is true; raises with the log's tail when it ends or takes longer."""
        deadline = time.monotonic() + timeout_s
        while not check():
            if not self.running():
                raise StackError(f"{self.name} ended with {self.exit_code()} before it was "
                                 f"{what}.\n{self.tail()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not {what} after {timeout_s:g} s.\n"
                                 f"{self.tail()}")
            time.sleep(_POLL_S)

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The end of the log, for error texts."""
        return f"The end of {self.log}:\n{tail(self.log, lines)}"

    def _reap(self) -> int | None:
        if self._child is None:
            return None
        code = self._child.wait()
        warden.forget(self._child.pid)
        return code


def tail(path: str, lines: int = _TAIL_LINES) -> str:
    """The last lines of a text file, "" when it can't be read."""
    try:
        with open(path, "rb") as text:
            text.seek(max(0, os.path.getsize(path) - 64 * 1024))
            return b"\n".join(text.read().splitlines()[-lines:]).decode("utf-8", "replace")
    except OSError:
        return ""


def run(argv: list[str], what: str, *, timeout_s: float = 180, stdin: str | None = None,
        env: dict[str, str] | None = None, user: str | None = None) -> str:
    """Runs a command to its end and returns its output; raises with that output when it fails."""
    as_user = _identity(user if os.geteuid() == 0 else None)
    with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
            start_new_session=True, **as_user) as child:
        warden.watch(child.pid)
        try:
            out, err = child.communicate(stdin, timeout_s)
        except BaseException as problem:
            child.kill()
            child.wait()
            if isinstance(problem, subprocess.TimeoutExpired):
                raise StackError(f"{what} took more than {timeout_s:g} s") from None
            raise
        finally:
            warden.forget(child.pid)
    if child.returncode != 0:
        raise StackError(f"{what} failed with {child.returncode}.\n{out[-4000:]}{err[-4000:]}")
    return out


def _identity(user: str | None) -> dict:
    """The arguments that make Popen drop to a user."""
    return {"user": user, "group": user, "extra_groups": []} if user else {}


def wait_until(check: Callable[[], object], timeout_s: float, what: str) -> object:
    """Polls check() until it returns something true, and returns that; raises after the timeout."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise StackError(f"{what}: not within {timeout_s:g} s; the last value was {value!r}")
        time.sleep(_POLL_S)
