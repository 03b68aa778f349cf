#!/usr/bin/python3
"""Plays through what the stack can do on the real thing and prints how long each step took."""

import json
import os
import sys
import time

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import psycopg2  # noqa: E402

from ops.stack import Stack, StackError, debezium_config, wait_until  # noqa: E402

_TOPIC = "app.public.plays"
_BATCH = 500


class Steps:
    """Prints each step with the seconds since the one before."""

    def __init__(self):
        self._last = self._first = time.monotonic()

    def done(self, what: str) -> None:
        now = time.monotonic()
        print(f"{now - self._last:7.2f} s  {what}", flush=True)
        self._last = now

    def total(self) -> None:
        print(f"{time.monotonic() - self._first:7.2f} s  in all", flush=True)


def main() -> None:
    steps = Steps()
    with Stack() as stack:
        for part, seconds in stack.timings.items():
            print(f"           ({part} took {seconds:.2f} s)")
        steps.done("Postgres, Kafka and Connect started")
        make_table(stack)
        stack.connect.create_connector("app", debezium_config(
            stack.postgres, "app", ["public.plays"], message_key_columns="public.plays:listener"))
        steps.done("connector running")
        insert(stack, 0)
        expect_events(stack, 1, steps, "the first rows streamed")
        check_connect_kill(stack, steps)
        check_broker(stack, steps)
        check_postgres(stack, steps)
        check_proxy(stack, steps)
        check_topics(stack, steps)
    steps.done("all ended")
    if os.path.exists(stack.folder):
        raise StackError(f"{stack.folder} is still there")
    steps.total()


def make_table(stack: Stack) -> None:
    stack.postgres.create_database("app")
    stack.postgres.execute(
        "create table plays(id int primary key, listener int not null, title text);"
        "alter table plays replica identity full", dbname="app")


def insert(stack: Stack, batch: int) -> None:
    stack.postgres.execute(
        "insert into plays select i, i %% 50, 'title' from generate_series(%s, %s) i",
        (batch * _BATCH + 1, (batch + 1) * _BATCH), dbname="app")


def expect_events(stack: Stack, batches: int, steps: Steps, what: str) -> None:
    """Every row has its event. At least once: after a kill there may be more events than rows."""
    wanted = set(range(1, batches * _BATCH + 1))
    wait_until(lambda: sum(stack.kafka.end_offsets(_TOPIC).values()) >= len(wanted), 60, what)
    wait_until(lambda: streamed_ids(stack) == wanted, 60, what)
    steps.done(what)


def streamed_ids(stack: Stack) -> set[int]:
    records = stack.kafka.client.records(_TOPIC)
    return {json.loads(record.value)["after"]["id"] for record in records}


def check_connect_kill(stack: Stack, steps: Steps) -> None:
    stack.connect.kill9()
    insert(stack, 1)
    stack.connect.start()
    steps.done("Connect killed and back")
    expect_events(stack, 2, steps, "rows written meanwhile streamed")


def check_broker(stack: Stack, steps: Steps) -> None:
    stack.kafka.kill9()
    stack.kafka.start()
    steps.done("broker killed and back on its port")
    stack.kafka.sigstop()
    time.sleep(1)  # frozen is what is tested
    stack.kafka.sigcont()
    insert(stack, 2)
    expect_events(stack, 3, steps, "broker frozen for 1 s, rows streamed")
    tool = stack.kafka.tool("org.apache.kafka.tools.GetOffsetShell", "--topic", _TOPIC)
    by_tool = {int(line.split(":")[1]): int(line.split(":")[2]) for line in tool.split()}
    if by_tool != stack.kafka.end_offsets(_TOPIC):
        raise StackError(f"Kafka's tool sees {by_tool}, we see {stack.kafka.end_offsets(_TOPIC)}")
    steps.done("Kafka's own tool sees the same offsets")


def check_postgres(stack: Stack, steps: Steps) -> None:
    stack.postgres.kill9()
    stack.postgres.start()
    steps.done("Postgres killed and back")
    insert(stack, 3)
    expect_events(stack, 4, steps, "rows streamed again")


def check_proxy(stack: Stack, steps: Steps) -> None:
    proxy = stack.proxy()
    stack.postgres.execute("create table ledger(n int)")
    for before, kept in ((True, 0), (False, 1)):
        proxy.cut_at_commit(before=before, touching="ledger")
        session = psycopg2.connect(proxy.dsn())
        try:
            with session.cursor() as cursor:
                cursor.execute("insert into ledger values (1)")
            session.commit()
            raise StackError("the COMMIT came back through an armed proxy")
        except psycopg2.OperationalError:
            pass
        found = stack.postgres.execute("select count(*) from ledger")[0][0]
        if found != kept:
            raise StackError(f"{found} rows after a cut with before={before}, {kept} were expected")
    if [cut.reply for cut in proxy.cuts] != ["", "COMMIT"]:
        raise StackError(f"the proxy noted {proxy.cuts}")
    proxy.delay(to_server_s=0.05, to_client_s=0.05)
    begin = time.monotonic()
    psycopg2.connect(proxy.dsn()).close()
    if time.monotonic() - begin < 0.1:
        raise StackError("the delay did nothing")
    steps.done("COMMIT cut before and after, delayed")


def check_topics(stack: Stack, steps: Steps) -> None:
    kafka = stack.kafka
    kafka.create_topic("scratch", 2, {"cleanup.policy": "delete"})
    kafka.client.produce("scratch", b"one", key=b"k", partition=1)
    kafka.client.produce("scratch", None, partition=1)
    kafka.alter_partitions("scratch", 3)
    if [(r.offset, r.key, r.value) for r in kafka.client.records("scratch")] != [
            (0, b"k", b"one"), (1, None, None)]:
        raise StackError(f"read back {kafka.client.records('scratch')}")
    kafka.client.delete_records("scratch", {1: 1})
    if kafka.client.begin_offsets("scratch") != {0: 0, 1: 1, 2: 0}:
        raise StackError(f"after a purge: {kafka.client.watermarks('scratch')}")
    kafka.delete_topic("scratch")
    steps.done("topic made, written, read, widened, purged, deleted")


if __name__ == "__main__":
    main()
