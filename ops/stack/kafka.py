"""A single-node Kafka 4.3.1 (broker and controller in one JVM) in a temp folder."""

import base64
import os
import signal
import uuid

from . import java, ports
from .client import Client
from .process import Process, run, wait_until

_READY_S_MAX = 180
_LISTED_S_MAX = 60
_PARTITIONS = 6
_SCRAM = "SCRAM-SHA-512"

_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "num.partitions": str(_PARTITIONS),  # of the topics that Debezium has the broker make
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A killed broker may register again only when its old session is over.
    "broker.session.timeout.ms": "5000",
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "controlled.shutdown.enable": "false",
}


class Kafka:
    """One broker; its ports and data stay the same over all restarts.

    `client` is one for the thread that made this object; other threads make their own Client.
    """

    def __init__(self, workdir: str, *, name: str = "kafka", heap_mib: int = 512,
                 settings: dict[str, str] | None = None):
        self.folder = os.path.join(workdir, name)
        self.port = ports.reserve()
        self._controller_port = ports.reserve()
        self.bootstrap = f"{ports.HOST}:{self.port}"
        self.client = Client(self.bootstrap)
        self._conf = os.path.join(self.folder, "server.properties")
        controller = f"{ports.HOST}:{self._controller_port}"
        self._settings = {
            **_SETTINGS,
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": os.path.join(self.folder, "data"), **(settings or {})}
        self._users: dict[str, str] = {}
        self.process = Process(name, java.command("kafka.Kafka", self._conf, heap_mib=heap_mib),
                               os.path.join(workdir, f"{name}.log"))

    def secure(self, keystore: str, users: dict[str, str]) -> str:
        """Before the first start: a SASL_SSL listener beside, with PLAIN and SCRAM-SHA-512; returns its address.

        `keystore` is a PEM file of key and certificate; `users` have passwords. It listens at localhost.
        """
        address = f"localhost:{ports.reserve()}"
        for setting in ("listeners", "advertised.listeners"):
            self._settings[setting] += f",SASL_SSL://{address}"
        self._settings |= {
            "listener.security.protocol.map": _SETTINGS["listener.security.protocol.map"] + ",SASL_SSL:SASL_SSL",
            "sasl.enabled.mechanisms": f"PLAIN,{_SCRAM}",
            "listener.name.sasl_ssl.plain.sasl.jaas.config":
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                + " ".join(f'user_{name}="{password}"' for name, password in users.items()) + ";",
            f"listener.name.sasl_ssl.{_SCRAM.lower()}.sasl.jaas.config":
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            "ssl.keystore.type": "PEM", "ssl.keystore.location": keystore}
        self._users = dict(users)
        return address

    def start(self) -> None:
        """Formats the storage at the first call, then runs the broker until it answers."""
        if not os.path.exists(self._conf):
            self._format()
        self.process.start()
        self.process.wait_ready(self._answers, _READY_S_MAX, "answering")

    def stop(self) -> None:
        """A clean shutdown."""
        self.process.stop(signal.SIGTERM, timeout_s=60)

    def kill9(self) -> None:
        self.process.kill9()

    def sigstop(self) -> None:
        """Freezes the broker: connections stay open, nothing is answered."""
        self.process.sigstop()

    def sigcont(self) -> None:
        self.process.sigcont()

    def restart(self) -> None:
        self.stop()
        self.start()

    def create_topic(self, name: str, partitions: int = _PARTITIONS,
                     configs: dict[str, str] | None = None) -> None:
        """Creates a topic and waits until the broker lists it."""
        self.client.create_topic(name, partitions, configs)
        wait_until(lambda: self.client.partitions(name) == partitions, _LISTED_S_MAX, f"the topic {name}")

    def delete_topic(self, name: str) -> None:
        """Deletes a topic and waits until the broker no longer lists it."""
        self.client.delete_topic(name)
        wait_until(lambda: self.client.partitions(name) == 0, _LISTED_S_MAX, f"the end of the topic {name}")

    def alter_partitions(self, name: str, partitions: int) -> None:
        """Raises a topic's number of partitions and waits until the broker lists them."""
        self.client.alter_partitions(name, partitions)
        wait_until(lambda: self.client.partitions(name) == partitions, _LISTED_S_MAX, f"partitions of {name}")

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The next offset of each partition; empty when there is no such topic."""
        return self.client.end_offsets(topic)

    def describe(self, topic: str) -> str:
        """What Kafka's own tool says about a topic; 1-2 s, as it is a JVM."""
        return self.tool("org.apache.kafka.tools.TopicCommand", "--describe", "--topic", topic)

    def group(self, name: str) -> str:
        """Members, committed offsets and lag of a group, as Kafka's own tool prints them."""
        return self.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--describe",
                         "--group", name)

    def tool(self, main: str, *arguments: str, stdin: str | None = None) -> str:
        """Runs one of Kafka's command-line tools against this broker."""
        argv = java.command(main, "--bootstrap-server", self.bootstrap, *arguments, level="ERROR")
        return run(argv, main.rpartition(".")[2], stdin=stdin)

    def _format(self) -> None:
        os.makedirs(self.folder, exist_ok=True)
        draft = self._conf + ".part"
        java.write_properties(draft, self._settings)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        cluster = "A" + cluster[1:]  # the tool would take a leading dash for an option
        users = [word for name, password in self._users.items()
                 for word in ("--add-scram", f"{_SCRAM}=[name={name},password={password}]")]
        run(java.command("kafka.tools.StorageTool", "format", "-t", cluster, "-c", draft, *users),
            "formatting Kafka's storage")
        os.replace(draft, self._conf)

    def _answers(self) -> bool:
        if not ports.accepts(self.port):
            return False
        try:
            self.client.topics()
            return True
        except RuntimeError:
            return False
