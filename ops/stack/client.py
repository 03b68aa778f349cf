"""A Kafka client for tests over Debian's librdkafka, as a JVM per question would cost seconds.

One Client belongs to one thread. Every call ends within its timeout and raises StackError then.
"""

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterable, Iterator
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_void_p
from dataclasses import dataclass

from .process import StackError, wait_until

_TIMEOUT_MS = 30_000  # for a busy machine: a broker answers within milliseconds
_RETRY_S = 0.05
_CLOSE_S = 2.0
_PRODUCER, _CONSUMER = 0, 1
_CONF_OK = 0
_MSG_COPY, _PARTITION_ANY = 2, -1
_BEGINNING = -2
_UNKNOWN_PARTITION = -190
_POLL_EVERY = 1000  # records between looks at acknowledgements: the queue holds 100,000


@dataclass(frozen=True)
class Record:
    """One record as it lies in its partition; a null key or value is None."""
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class _Message(ctypes.Structure):
    _fields_ = [("err", c_int), ("rkt", c_void_p), ("partition", c_int32), ("payload", c_void_p),
                ("len", c_size_t), ("key", c_void_p), ("key_len", c_size_t), ("offset", c_int64),
                ("private", c_void_p)]


_Delivered = ctypes.CFUNCTYPE(None, c_void_p, POINTER(_Message), c_void_p)


class _PartitionMeta(ctypes.Structure):
    _fields_ = [("id", c_int32), ("err", c_int), ("leader", c_int32), ("replica_cnt", c_int),
                ("replicas", c_void_p), ("isr_cnt", c_int), ("isrs", c_void_p)]


class _TopicMeta(ctypes.Structure):
    _fields_ = [("topic", c_char_p), ("partition_cnt", c_int),
                ("partitions", POINTER(_PartitionMeta)), ("err", c_int)]


class _Metadata(ctypes.Structure):
    _fields_ = [("broker_cnt", c_int), ("brokers", c_void_p), ("topic_cnt", c_int),
                ("topics", POINTER(_TopicMeta)), ("orig_broker_id", c_int32),
                ("orig_broker_name", c_char_p)]


class _PartitionEntry(ctypes.Structure):
    _fields_ = [("topic", c_char_p), ("partition", c_int32), ("offset", c_int64),
                ("metadata", c_void_p), ("metadata_size", c_size_t), ("opaque", c_void_p),
                ("err", c_int), ("private", c_void_p)]


def _load():
    try:
        lib = ctypes.CDLL("librdkafka.so.1")
    except OSError:
        raise StackError("librdkafka is not installed: run ops/setup --stack") from None
    for name in ("conf_new", "new", "topic_new", "queue_new", "queue_poll", "consume",
                 "NewTopic_new", "DeleteTopic_new", "NewPartitions_new", "DeleteRecords_new",
                 "topic_partition_list_new", "event_CreateTopics_result",
                 "event_DeleteTopics_result", "event_CreatePartitions_result",
                 "event_DeleteRecords_result", "CreateTopics_result_topics",
                 "DeleteTopics_result_topics", "CreatePartitions_result_topics",
                 "DeleteRecords_result_offsets"):
        getattr(lib, f"rd_kafka_{name}").restype = c_void_p
    lib.rd_kafka_consume.restype = POINTER(_Message)
    lib.rd_kafka_topic_partition_list_add.restype = POINTER(_PartitionEntry)
    for name in ("init_transactions", "begin_transaction", "abort_transaction"):
        getattr(lib, f"rd_kafka_{name}").restype = c_void_p
    for name in ("error_string", "err2str", "topic_result_error_string", "event_error_string"):
        getattr(lib, f"rd_kafka_{name}").restype = c_char_p
    return lib


class Client:
    """A handle on one cluster: records, offsets and topics."""

    def __init__(self, bootstrap: str):
        self._lib = _load()
        self._bootstrap = bootstrap
        self._handles: dict[int, c_void_p] = {}
        self._delivery_error = 0
        self._transactions = 0
        self._on_delivery = _Delivered(self._note_delivery)  # librdkafka keeps a pointer to it

    def close(self) -> None:
        """librdkafka 2.0.2 never ends one that read from a topic while it got another leader, or was deleted (seen): it loses a
        reference. So each is destroyed on a thread that may be left to the process's end."""
        for handle in self._handles.values():
            self._end(handle)
        self._handles.clear()

    def _end(self, handle: c_void_p) -> None:
        thread = threading.Thread(target=self._lib.rd_kafka_destroy, args=(handle,), daemon=True)
        thread.start()
        thread.join(_CLOSE_S)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def topics(self) -> dict[str, int]:
        """Every topic and its number of partitions."""
        return self._metadata()

    def partitions(self, topic: str) -> int:
        """The number of partitions, 0 when there is no such topic. Never creates it."""
        return self.topics().get(topic, 0)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The next offset of each partition; empty when there is no such topic."""
        return {p: high for p, (_, high) in self.watermarks(topic).items()}

    def begin_offsets(self, topic: str) -> dict[int, int]:
        """The first retained offset of each partition."""
        return {p: low for p, (low, _) in self.watermarks(topic).items()}

    def watermarks(self, topic: str) -> dict[int, tuple[int, int]]:
        """(first retained, next) offset of each partition."""
        result = {}
        for partition in range(self.partitions(topic)):
            result[partition] = self._range(topic, partition)
        return result

    def records(self, topic: str) -> list[Record]:
        """Everything committed that the topic holds now, by partition and offset."""
        found: list[Record] = []
        for partition, (low, high) in self.watermarks(topic).items():
            if low < high:
                found += self._read(topic, partition, high)
        return found

    def produce(self, topic: str, value: bytes | None, *, key: bytes | None = None,
                partition: int | None = None) -> None:
        """Writes one record and waits for the acknowledgement."""
        lib, handle = self._lib, self._handle(_PRODUCER)
        target = c_void_p(lib.rd_kafka_topic_new(handle, topic.encode(), None))
        self._delivery_error = 0
        try:
            refused = lib.rd_kafka_produce(
                target, c_int32(_PARTITION_ANY if partition is None else partition), _MSG_COPY,
                value, c_size_t(len(value or b"")), key, c_size_t(len(key or b"")), None)
            if refused:
                self._check(lib.rd_kafka_last_error(), f"a record for {topic}")
            self._check(lib.rd_kafka_flush(handle, _TIMEOUT_MS), f"a record for {topic}")
            self._check(self._delivery_error, f"a record for {topic}")
        finally:
            lib.rd_kafka_topic_destroy(target)

    def produce_all(self, records: Iterable[Record]) -> int:
        """Writes records to their topics and partitions in this order, their offsets aside; waits
        for all acknowledgements once. Returns how many there were."""
        lib, handle = self._lib, self._handle(_PRODUCER)
        targets: dict[str, c_void_p] = {}
        self._delivery_error = count = 0
        try:
            for record in records:
                target = targets.get(record.topic)
                if target is None:
                    target = c_void_p(lib.rd_kafka_topic_new(handle, record.topic.encode(), None))
                    targets[record.topic] = target
                self._enqueue(handle, target, record)
                count += 1
                if count % _POLL_EVERY == 0:
                    lib.rd_kafka_poll(handle, 0)
            self._check(lib.rd_kafka_flush(handle, _TIMEOUT_MS), f"{count} records")
            self._check(self._delivery_error, f"one of {count} records")
        finally:
            for target in targets.values():
                lib.rd_kafka_topic_destroy(target)
        return count

    def _enqueue(self, handle: c_void_p, target: c_void_p, record: Record) -> None:
        """A partition that is new is asked for again until it is there."""
        lib = self._lib
        deadline = time.monotonic() + _TIMEOUT_MS / 1000
        while lib.rd_kafka_produce(
                target, c_int32(record.partition), _MSG_COPY, record.value,
                c_size_t(len(record.value or b"")), record.key, c_size_t(len(record.key or b"")), None):
            error = lib.rd_kafka_last_error()
            if error != _UNKNOWN_PARTITION or time.monotonic() > deadline:
                self._check(error, f"a record for {record.topic}")
            answer = POINTER(_Metadata)()
            if lib.rd_kafka_metadata(handle, 0, target, byref(answer), _TIMEOUT_MS) == 0:
                lib.rd_kafka_metadata_destroy(answer)

    def create_topic(self, name: str, partitions: int,
                     configs: dict[str, str] | None = None) -> None:
        lib = self._lib
        new = c_void_p(lib.rd_kafka_NewTopic_new(name.encode(), partitions, 1, None, c_size_t(0)))
        for key, value in (configs or {}).items():
            lib.rd_kafka_NewTopic_set_config(new, key.encode(), value.encode())
        try:
            self._admin("CreateTopics", new, f"creating the topic {name}")
        finally:
            lib.rd_kafka_NewTopic_destroy(new)

    def delete_topic(self, name: str) -> None:
        """Returns when the broker has accepted it; its partitions disappear a moment later."""
        target = c_void_p(self._lib.rd_kafka_DeleteTopic_new(name.encode()))
        try:
            self._admin("DeleteTopics", target, f"deleting the topic {name}")
        finally:
            self._lib.rd_kafka_DeleteTopic_destroy(target)

    def alter_partitions(self, name: str, partitions: int) -> None:
        """Raises the topic's number of partitions to this."""
        target = c_void_p(self._lib.rd_kafka_NewPartitions_new(
            name.encode(), c_size_t(partitions), None, c_size_t(0)))
        try:
            self._admin("CreatePartitions", target, f"adding partitions to {name}")
        finally:
            self._lib.rd_kafka_NewPartitions_destroy(target)

    def delete_records(self, topic: str, before: dict[int, int]) -> None:
        """Purges what lies below these offsets, as retention would."""
        lib = self._lib
        offsets = c_void_p(lib.rd_kafka_topic_partition_list_new(len(before)))
        for partition, offset in before.items():
            entry = lib.rd_kafka_topic_partition_list_add(
                offsets, topic.encode(), c_int32(partition))
            entry.contents.offset = offset
        target = c_void_p(lib.rd_kafka_DeleteRecords_new(offsets))
        try:
            self._admin("DeleteRecords", target, f"purging {topic}")
        finally:
            lib.rd_kafka_DeleteRecords_destroy(target)
            lib.rd_kafka_topic_partition_list_destroy(offsets)

    @contextlib.contextmanager
    def transaction(self, records: Iterable[Record]) -> Iterator[None]:
        """Sends them in a transaction that stays open inside the `with`, and is aborted at its end: its markers are there
        then. Each call is another producer."""
        records = list(records)
        self._transactions += 1
        handle = self._new_handle(_PRODUCER, {"transactional.id": f"stack-{id(self)}-{self._transactions}",
                                              "transaction.timeout.ms": "600000"})
        try:
            self._check_step("init_transactions", handle, _TIMEOUT_MS)
            self._check_step("begin_transaction", handle)
            for record in records:
                target = c_void_p(self._lib.rd_kafka_topic_new(handle, record.topic.encode(), None))
                self._enqueue(handle, target, record)
                self._lib.rd_kafka_topic_destroy(target)
            self._check(self._lib.rd_kafka_flush(handle, _TIMEOUT_MS), "a flush in a transaction")
            held = {(one.topic, one.partition): self._range(one.topic, one.partition)[1] for one in records}
            yield
            self._check_step("abort_transaction", handle, _TIMEOUT_MS)
            # Whoever reads committed records alone is told of the open one's place as the end until then.
            for where, end in held.items():
                wait_until(lambda: self._range(*where)[1] > end, _TIMEOUT_MS / 1000, f"the marker in {where}")
        finally:
            self._end(handle)

    def _check_step(self, step: str, *arguments) -> None:
        error = getattr(self._lib, f"rd_kafka_{step}")(*arguments)
        if error:
            text = self._lib.rd_kafka_error_string(c_void_p(error)).decode()
            self._lib.rd_kafka_error_destroy(c_void_p(error))
            raise StackError(f"Kafka: {step}: {text}")

    def _note_delivery(self, _handle, message, _opaque) -> None:
        self._delivery_error = self._delivery_error or message.contents.err

    def _handle(self, kind: int) -> c_void_p:
        if kind not in self._handles:
            self._handles[kind] = self._new_handle(kind, {})
        return self._handles[kind]

    def _new_handle(self, kind: int, more: dict[str, str]) -> c_void_p:
        lib, error = self._lib, ctypes.create_string_buffer(512)
        conf = c_void_p(lib.rd_kafka_conf_new())
        settings = {"bootstrap.servers": self._bootstrap, "broker.address.family": "v4",
                    "log_level": "0", "reconnect.backoff.max.ms": "200"}
        if kind == _CONSUMER:
            # Watermarks have to follow the broker, and a read ends at the last stable offset.
            settings |= {"isolation.level": "read_committed", "enable.partition.eof": "true",
                         "fetch.wait.max.ms": "20", "group.id": "stack-client",
                         "allow.auto.create.topics": "false"}
        else:
            # As Connect's producer: a retry must not change the order. Not idempotent with more in flight, which would
            # keep it, too: librdkafka 2.0.2 then says now and then that the first records of a new partition were
            # delivered, and they are not there (2 of 100 partitions; none of 400 in this way).
            settings |= {"message.max.bytes": "200000000", "linger.ms": "0",
                         "max.in.flight.requests.per.connection": "1", "delivery.timeout.ms": str(_TIMEOUT_MS)}
            lib.rd_kafka_conf_set_dr_msg_cb(conf, self._on_delivery)
        for key, value in (settings | more).items():
            refused = lib.rd_kafka_conf_set(
                conf, key.encode(), value.encode(), error, c_size_t(512))
            if refused != _CONF_OK:
                raise StackError(f"librdkafka refuses {key}: {error.value.decode()}")
        handle = lib.rd_kafka_new(kind, conf, error, c_size_t(512))
        if not handle:
            raise StackError(f"librdkafka: {error.value.decode()}")
        return c_void_p(handle)

    def _metadata(self) -> dict[str, int]:
        lib, answer = self._lib, POINTER(_Metadata)()
        error = lib.rd_kafka_metadata(self._handle(_CONSUMER), 1, None, byref(answer), _TIMEOUT_MS)
        self._check(error, "the list of topics")
        try:
            listed = [answer.contents.topics[i] for i in range(answer.contents.topic_cnt)]
            return {topic.topic.decode(): topic.partition_cnt for topic in listed}
        finally:
            lib.rd_kafka_metadata_destroy(answer)

    def _range(self, topic: str, partition: int) -> tuple[int, int]:
        """Retries, as a topic has no leader in its first moments."""
        low, high, handle = c_int64(), c_int64(), self._handle(_CONSUMER)
        deadline = time.monotonic() + _TIMEOUT_MS / 1000
        while True:
            error = self._lib.rd_kafka_query_watermark_offsets(
                handle, topic.encode(), c_int32(partition), byref(low), byref(high), _TIMEOUT_MS)
            if error == 0:
                return low.value, high.value
            if time.monotonic() > deadline:
                self._check(error, f"the offsets of {topic}[{partition}]")
            time.sleep(_RETRY_S)
            self.topics()  # fetches the leaders again

    def _read(self, topic: str, partition: int, end: int) -> list[Record]:
        lib, found = self._lib, []
        source = c_void_p(lib.rd_kafka_topic_new(self._handle(_CONSUMER), topic.encode(), None))
        lib.rd_kafka_consume_start(source, c_int32(partition), c_int64(_BEGINNING))
        deadline = time.monotonic() + _TIMEOUT_MS / 1000
        try:
            while time.monotonic() < deadline:
                message = lib.rd_kafka_consume(source, c_int32(partition), 500)
                if not message:
                    continue
                one = message.contents
                record = Record(topic, partition, one.offset, _copy(one.key, one.key_len),
                                _copy(one.payload, one.len)) if one.err == 0 else None
                finished = one.offset + (1 if record else 0) >= end
                lib.rd_kafka_message_destroy(message)
                if record and record.offset < end:
                    found.append(record)
                    deadline = time.monotonic() + _TIMEOUT_MS / 1000
                if finished:
                    return found
            raise StackError(f"{topic}[{partition}] gave nothing for {_TIMEOUT_MS} ms before {end}")
        finally:
            lib.rd_kafka_consume_stop(source, c_int32(partition))
            lib.rd_kafka_topic_destroy(source)

    def _admin(self, verb: str, target: c_void_p, what: str) -> None:
        """Calls rd_kafka_<verb> with one element and raises its error, if any."""
        lib, handle = self._lib, self._handle(_PRODUCER)
        queue = c_void_p(lib.rd_kafka_queue_new(handle))
        getattr(lib, f"rd_kafka_{verb}")(handle, (c_void_p * 1)(target), c_size_t(1), None, queue)
        event = c_void_p(lib.rd_kafka_queue_poll(queue, _TIMEOUT_MS))
        try:
            if not event:
                raise StackError(f"{what}: no answer within {_TIMEOUT_MS} ms")
            if lib.rd_kafka_event_error(event):
                raise StackError(f"{what}: {lib.rd_kafka_event_error_string(event).decode()}")
            self._raise_element_error(verb, event, what)
        finally:
            if event:
                lib.rd_kafka_event_destroy(event)
            lib.rd_kafka_queue_destroy(queue)

    def _raise_element_error(self, verb: str, event: c_void_p, what: str) -> None:
        lib = self._lib
        result = c_void_p(getattr(lib, f"rd_kafka_event_{verb}_result")(event))
        if verb == "DeleteRecords":
            return  # its elements carry errors only for partitions that don't exist
        count = c_size_t()
        elements = ctypes.cast(getattr(lib, f"rd_kafka_{verb}_result_topics")(result, byref(count)),
                               POINTER(c_void_p))
        for i in range(count.value):
            element = c_void_p(elements[i])
            if lib.rd_kafka_topic_result_error(element):
                text = lib.rd_kafka_topic_result_error_string(element) or b"refused"
                raise StackError(f"{what}: {text.decode()}")

    def _check(self, error: int, what: str) -> None:
        if error:
            raise StackError(f"{what}: {self._lib.rd_kafka_err2str(error).decode()}")


def _copy(pointer: int | None, length: int) -> bytes | None:
    return None if pointer is None else ctypes.string_at(pointer, length)
