"""One distributed Kafka Connect worker with the Debezium plugin, driven over its REST interface."""

import json
import os
import signal
import time
import urllib.error
import urllib.request

from . import java, ports
from .kafka import Kafka
from .postgres import Postgres
from .process import Process, StackError, wait_until

_READY_S_MAX = 180
_RUNNING_S_MAX = 120
_REST_S_MAX = 60
_STALE_S_MAX = 60  # after a restart the worker may tell the state before it for so long
_TASKS_LEFT = (400, 500)  # what is said of offsets while tasks of a stopped connector still end

_SETTINGS = {
    "group.id": "connect",
    "key.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "key.converter.schemas.enable": "false",
    "value.converter.schemas.enable": "false",
    "config.storage.topic": "connect-configs",
    "offset.storage.topic": "connect-offsets",
    "status.storage.topic": "connect-status",
    "config.storage.replication.factor": "1",
    "offset.storage.replication.factor": "1",
    "status.storage.replication.factor": "1",
    "offset.storage.partitions": "1",
    "status.storage.partitions": "1",
    "offset.flush.interval.ms": "1000",
    "producer.metadata.max.age.ms": "1000",
    "plugin.discovery": "service_load",
    # A killed worker holds its tasks until its session ends, and by default five minutes longer.
    "session.timeout.ms": "6000",
    "heartbeat.interval.ms": "1000",
    "scheduled.rebalance.max.delay.ms": "0",
}


class _Busy(StackError):
    """The worker's group rebalances: the same call works in a moment."""


class Connect:
    """One worker; the connectors live in Kafka, so they come back with every restart."""

    def __init__(self, workdir: str, kafka: Kafka, *, name: str = "connect", heap_mib: int = 512,
                 settings: dict[str, str] | None = None):
        self.port = ports.reserve()
        self.url = f"http://{ports.HOST}:{self.port}"
        self._conf = os.path.join(workdir, f"{name}.properties")
        self._settings = {**_SETTINGS, "bootstrap.servers": kafka.bootstrap, "listeners": self.url,
                          "rest.advertised.host.name": ports.HOST,
                          "plugin.path": java.plugins(), **(settings or {})}
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        self.process = Process(name, java.command(main, self._conf, heap_mib=heap_mib),
                               os.path.join(workdir, f"{name}.log"))

    def start(self) -> None:
        """Runs the worker until it serves the list of connectors, so it has joined its group."""
        java.write_properties(self._conf, self._settings)
        self.process.start()
        self.process.wait_ready(self._answers, _READY_S_MAX, "serving REST")

    def stop(self) -> None:
        """A clean shutdown: offsets are flushed."""
        self.process.stop(signal.SIGTERM, timeout_s=60)

    def kill9(self) -> None:
        """kill -9: what was sent since the last offset flush will be sent again."""
        self.process.kill9()

    def sigstop(self) -> None:
        self.process.sigstop()

    def sigcont(self) -> None:
        self.process.sigcont()

    def restart(self) -> None:
        self.stop()
        self.start()

    def create_connector(self, name: str, config: dict[str, str]) -> None:
        """Creates the connector, or changes its configuration, and waits until its task runs."""
        wait_until(lambda: self._taken("PUT", f"/connectors/{name}/config", config), _RUNNING_S_MAX,
                   f"connector {name} accepted")
        self.wait_running(name)

    def wait_running(self, name: str, timeout_s: float = _RUNNING_S_MAX,
                     stale_s: float = 0) -> None:
        """Waits until the connector and all its tasks run; raises with a failed one's trace, once
        it is told for longer than `stale_s`."""
        believed = time.monotonic() + stale_s
        wait_until(lambda: self._is_running(name, believed), timeout_s,
                   f"the connector {name} running")

    def status(self, name: str) -> dict | None:
        """The connector's state and its tasks' as REST says it; None when it is not known (yet)."""
        return self.rest("GET", f"/connectors/{name}/status", absent=(404, 409))

    def restart_connector(self, name: str) -> None:
        """Restarts the connector and its failed tasks."""
        path = f"/connectors/{name}/restart?includeTasks=true&onlyFailed=false"
        wait_until(lambda: self._taken("POST", path), _RUNNING_S_MAX, f"restart of {name} accepted")
        self.wait_running(name, stale_s=_STALE_S_MAX)

    def begin_anew(self, name: str, config: dict[str, str]) -> None:
        """As create_connector, of one that is there: it forgets its place in the source, which is another now."""
        steps = (("PUT", "stop", None), ("DELETE", "offsets", None), ("PUT", "config", config), ("PUT", "resume", None))
        for method, step, body in steps:
            busy = _TASKS_LEFT if step == "offsets" else ()
            wait_until(lambda: self._taken(method, f"/connectors/{name}/{step}", body, busy=busy), _RUNNING_S_MAX,
                       f"{step} of {name} accepted")
            if step == "stop":
                wait_until(lambda: (self.status(name) or {}).get("connector", {}).get("state") == "STOPPED", _RUNNING_S_MAX,
                           f"connector {name} stopped")
        self.wait_running(name, stale_s=_STALE_S_MAX)

    def delete_connector(self, name: str) -> None:
        """Deletes it; the slot and the publication stay in Postgres."""
        wait_until(lambda: self._taken("DELETE", f"/connectors/{name}", absent=(404,)),
                   _RUNNING_S_MAX, f"connector {name} given up")
        wait_until(lambda: self.status(name) is None, _RUNNING_S_MAX, f"end of connector {name}")

    def rest(self, method: str, path: str, body: object = None, absent: tuple[int, ...] = (),
             busy: tuple[int, ...] = ()):
        """One REST call; returns the decoded answer, or None for a status code in `absent`. `busy`: codes that pass."""
        request = urllib.request.Request(
            self.url + path, method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"})
        try:
            with _DIRECT.open(request, timeout=_REST_S_MAX) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as problem:
            if problem.code in absent:
                return None
            detail = problem.read().decode("utf-8", "replace")[:2000]
            kind = _Busy if problem.code in (409, *busy) else StackError
            raise kind(f"Connect: {method} {path}: {problem.code} {detail}") from None

    def _taken(self, method: str, path: str, body: object = None,
               absent: tuple[int, ...] = (), busy: tuple[int, ...] = ()) -> bool:
        """One REST call that changes something; False when it is to be made again."""
        try:
            self.rest(method, path, body, absent, busy)
            return True
        except (_Busy, OSError):
            return False

    def _is_running(self, name: str, believed: float) -> bool:
        """Raises for what has failed, from the time `believed` on."""
        try:
            status = self.status(name)
        except OSError:
            return False
        if status is None or not status["tasks"]:
            return False
        parts = [status["connector"], *status["tasks"]]
        for part in parts:
            if part["state"] == "FAILED" and time.monotonic() >= believed:
                raise StackError(f"the connector {name} failed: {part.get('trace', '')[:3000]}")
        return all(part["state"] == "RUNNING" for part in parts)

    def _answers(self) -> bool:
        try:
            return self.rest("GET", "/connectors") is not None
        except (OSError, StackError, ValueError):
            return False


def debezium_config(postgres: Postgres, dbname: str, tables: list[str], *, prefix: str = "app",
                    slot: str = "tidemark", publication: str = "tidemark",
                    message_key_columns: str = "", snapshot_mode: str = "initial",
                    heartbeat_ms: int = 1000, tombstones: bool = True, user: str = "postgres",
                    port: int | None = None, extra: dict[str, str] | None = None) -> dict[str, str]:
    """The connector's options that Tidemark wants; `extra` wins over them.

    `tables` are names with their schema (`public.reposts`); the topics are `<prefix>.<table>`.
    `message_key_columns` is Debezium's own syntax: `public.reposts:user_id,repost_item_id;...`.
    """
    config = {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": postgres.host,
        "database.port": str(port or postgres.port),
        "database.user": user,
        "database.password": "unused",
        "database.dbname": dbname,
        "topic.prefix": prefix,
        "table.include.list": ",".join(tables),
        "plugin.name": "pgoutput",
        "slot.name": slot,
        "publication.name": publication,
        "publication.autocreate.mode": "filtered",
        "skipped.operations": "none",
        "tombstones.on.delete": "true" if tombstones else "false",
        "snapshot.mode": snapshot_mode,
        "heartbeat.interval.ms": str(heartbeat_ms),
        # The slot moves on past what is watched only: on an idle source, past nothing but this.
        "heartbeat.action.query": "select pg_logical_emit_message(false, 'heartbeat', now()::varchar)",
        "poll.interval.ms": "20",
        "status.update.interval.ms": "1000",
        "retriable.restart.connector.wait.ms": "500",
        "slot.retry.delay.ms": "500",
        "slot.max.retries": "60",
    }
    if message_key_columns:
        config["message.key.columns"] = message_key_columns
    return config | (extra or {})


# Never through an HTTP proxy of the environment: all is on this machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
