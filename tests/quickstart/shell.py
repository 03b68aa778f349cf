"""The shell that a reader has open: what blocks export, define and start stays for those that follow."""

import os
import select
import subprocess
import time

from ops.stack import StackError, warden
from ops.stack.process import tail

_BLOCK_S_MAX = 300  # one block; past this it hangs. verify waits for 180 s by itself


class Shell:
    """One bash that stops at the first failure, in a process group of its own; end() ends all of it.

    Each block is a file that is sourced, with its output in a file beside it.
    """

    def __init__(self, folder: str, logs: str, env: dict[str, str]):
        self._logs, self._number = logs, 0
        self._told, tells = os.pipe()
        # 9 is where bash says that a block has ended. No block has it, so it closes when bash ends.
        self._bash = subprocess.Popen(
            ["/bin/bash", "-c", f"exec 9>&{tells} {tells}>&-; exec /bin/bash --norc -euo pipefail"], cwd=folder, env=env,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, pass_fds=(tells,))
        os.close(tells)
        self._started = warden.start_time(self._bash.pid)
        warden.watch(self._bash.pid)

    def run(self, text: str) -> str:
        """Runs a block as it stands; returns the file of its output. Raises StackError when a command of it fails."""
        step, out = self._step(text)
        if not self._ask(f'. "{step}" </dev/null >"{out}" 2>&1 9>&-; echo 0 >&9'):
            raise StackError(f"a command failed:\n{tail(out)}")
        return out

    def ask(self, text: str) -> tuple[int, str]:
        """Runs a block aside, where it may fail; returns its exit code, and what it printed but for errors."""
        step, out = self._step(text)
        code = self._ask(f'set +e; (set -e; . "{step}") </dev/null >"{out}" 2>"{out}.errors" 9>&-; echo $? >&9; set -e')
        if not code:
            raise StackError("the shell ended")
        with open(out, encoding="utf-8", errors="replace") as printed:
            return int(code), printed.read()

    def errors(self) -> str:
        """The end of what the last ask() printed as errors."""
        return tail(self._path("out.errors"))

    def end(self) -> None:
        """kill -9 of what is left of it and of all that it started."""
        warden.kill_tree(self._bash.pid, self._started)  # not reaped before, so that the group's id is still its own
        self._bash.stdin.close()
        self._bash.wait()
        warden.forget(self._bash.pid)
        os.close(self._told)

    def _path(self, kind: str) -> str:
        return os.path.join(self._logs, f"step-{self._number}.{kind}")

    def _step(self, text: str) -> tuple[str, str]:
        self._number += 1
        with open(self._path("sh"), "w", encoding="utf-8") as file:
            file.write(text)
        return self._path("sh"), self._path("out")

    def _ask(self, command: str) -> str:
        """What bash says at 9 after the command; "" when it ended instead."""
        try:
            self._bash.stdin.write(command + "\n")
            self._bash.stdin.flush()
        except BrokenPipeError:
            return ""
        deadline = time.monotonic() + _BLOCK_S_MAX
        if not select.select([self._told], [], [], max(0, deadline - time.monotonic()))[0]:
            raise StackError(f"not done within {_BLOCK_S_MAX} s:\n{tail(self._path('out'))}")
        return os.read(self._told, 64).decode().strip()
