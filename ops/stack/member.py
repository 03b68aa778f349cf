"""One running `tidemark run`, and what it says over HTTP."""

import http.client
import os
import re
import urllib.error
import urllib.request

from . import ports
from .process import Process, StackError

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(REPO, "build", "release", "tidemark")
_HTTP_S_MAX = 30  # for a busy machine: it answers within milliseconds
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*(?:\{.*\})?)\s+(\S+)")


class Member:
    """`binary run --config FILE`; the configuration is the caller's and serves HTTP on `port`.

    `env` arms kill points. The log is appended to over restarts.
    """

    def __init__(self, workdir: str, config: str, port: int, *, name: str = "member",
                 binary: str = BINARY, env: dict[str, str] | None = None,
                 arguments: list[str] | None = None):
        self.name = name
        self.port = port
        self.binary = binary
        argv = [binary, "run", "--config", config, *(arguments or [])]
        self.process = Process(name, argv, os.path.join(workdir, f"{name}.log"), env=env, cwd=REPO)

    @property
    def log(self) -> str:
        return self.process.log

    def start(self, env: dict[str, str] | None = None) -> None:
        """Starts it, with this environment from now on when given; does not wait for readiness."""
        if not os.access(self.binary, os.X_OK):
            raise StackError(f"there is no {self.binary}: run cmake --workflow --preset release")
        if env is not None:
            self.process.env = env
        self.process.start()

    def running(self) -> bool:
        return self.process.running()

    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self.process.exit_code()

    def wait_exit(self, timeout_s: float) -> int:
        """Waits until it ended by itself, as at a kill point; returns the exit code."""
        return self.process.wait_exit(timeout_s)

    def wait_ready(self, timeout_s: float = 30) -> None:
        """Waits until /readyz says 200."""
        self.process.wait_ready(self.is_ready, timeout_s)

    def sigterm(self) -> None:
        self.process.sigterm()

    def stop(self, timeout_s: float = 20) -> int | None:
        """SIGTERM and wait; kill -9 after the timeout. Returns the exit code."""
        self.process.stop(timeout_s=timeout_s)
        return self.process.exit_code()

    def kill9(self) -> None:
        self.process.kill9()

    def sigstop(self) -> None:
        self.process.sigstop()

    def sigcont(self) -> None:
        self.process.sigcont()

    def get(self, path: str) -> tuple[int, str]:
        """(status, body) of a GET; (0, why) when nobody answers."""
        url = f"http://{ports.HOST}:{self.port}{path}"
        try:
            with _DIRECT.open(url, timeout=_HTTP_S_MAX) as answer:
                return answer.status, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as problem:
            return problem.code, problem.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as problem:
            return 0, str(problem)

    def is_live(self) -> bool:
        return self.get("/livez")[0] == 200

    def is_ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, keyed by name and labels as printed."""
        status, text = self.get("/metrics")
        if status != 200:
            raise StackError(f"{self.name}: /metrics answers {status}: {text[:500]}")
        samples = (_SAMPLE.match(line) for line in text.splitlines())
        return {sample[1]: float(sample[2]) for sample in samples if sample}

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 when there is none."""
        return sum(value for key, value in self.metrics().items() if key.partition("{")[0] == name)


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
