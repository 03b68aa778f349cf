"""A run of real traffic through real Debezium, recorded once and fed to as many worlds as one likes.

The recorded database stays as the traffic left it, with empty aggregates, and is the template of
each world's database: so the source tables say what the fed records must add up to.
"""

import dataclasses
import random

import traffic
from ops.stack import Record, wait_until

from world import PATIENCE_S, TABLES, World

DATABASE = "recorded"
CHANGES_MIN = 8_000
SECONDS = 8


class Recording:
    """`records` in an order that Kafka could have given: each partition's own, mixed at random."""

    template = DATABASE

    def __init__(self, stack, binaries):
        world = World(stack, DATABASE, binaries)
        world.make_database()
        world.make_topics()
        world.make_connector()
        run = traffic.Traffic(stack.postgres.dsn(DATABASE), traffic.Options(
            seed=7, seconds=SECONDS, changes_min=CHANGES_MIN, users=600, tracks=400, playlists=150, copies=("follows",)))
        run.seed()
        run.start()
        run.stopping.wait(SECONDS)
        wait_until(lambda: run.stopping.is_set() or run.counts().changes >= CHANGES_MIN, PATIENCE_S, "enough to record")
        run.stop()
        world.wait_streamed()
        partitions = {}
        for table in TABLES:
            for record in world.client.records(world.topic(table)):
                partitions.setdefault((table, record.partition), []).append(record)
        self.records = _mixed(partitions)
        self.about = f"{len(self.records)} records of {run.counts().changes} changes"
        world.release_source()

    def feed(self, world):
        return Feed(self.records, world)


class Feed:
    """Hands a recording to one world's topics, in parts."""

    def __init__(self, records, world):
        self._records, self._world, self._at = records, world, 0
        self._moved = {}

    @property
    def sent(self):
        return self._at

    @property
    def left(self):
        return len(self._records) - self._at

    @property
    def sent_bytes(self):
        return sum(len(record.key or b"") + len(record.value or b"") for record in self._records[:self._at])

    def some(self, share):
        """The next part, as a share of the whole."""
        count = min(self.left, max(1, int(len(self._records) * share)))
        part = self._records[self._at:self._at + count]
        self._at += count
        self._world.client.produce_all(self._placed(record) for record in part)
        return count

    def move(self, table, partitions):
        """From now on a table's records of these partitions go to those."""
        self._moved |= {(table, old): new for old, new in partitions.items()}

    def _placed(self, record):
        table = _table(record)
        return dataclasses.replace(record, topic=self._world.topic(table),
                                   partition=self._moved.get((table, record.partition), record.partition))

    def rest(self):
        return self.some(1.0)


def _table(record: Record) -> str:
    return record.topic.rpartition(".")[2]


def _mixed(partitions):
    """Runs of each partition's records, taken in turns by chance; the same each time."""
    draw, queues, mixed = random.Random(1), {key: iter(found) for key, found in partitions.items()}, []
    while queues:
        key = draw.choice(sorted(queues))
        for _ in range(draw.randint(1, 60)):
            record = next(queues[key], None)
            if record is None:
                del queues[key]
                break
            mixed.append(record)
    return mixed
