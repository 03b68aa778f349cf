"""The kept data set with Kafka, Debezium and members beside it.

A benchmark adds reposts and events to the set, all of one block, and at the end they are taken
away again with all that came of them, so that the next run finds the set as it was made. What a
run that was killed left behind goes at the next start.
"""

import subprocess
import threading
import time

import dataset_sql
from bed import BenchFailed, MIGRATE_ROLE, REPO, RUN_ROLE
from dataset import DATABASE, Dataset
from figures import say
from ops.stack import Member, Stack, StackError, debezium_config, run, wait_until

PREFIX, SLOT, GROUP = "bench", "bench", "bench"
TABLES = ("reposts", "saves", "follows", "user_events", "users", "tracks", "playlists", "remixes")
LOGICAL_KEYS = ";".join(f"public.{table}:{columns}" for table, columns in {
    "follows": "follower_user_id,followee_user_id",
    "reposts": "user_id,repost_item_id,repost_type",
    "saves": "user_id,save_item_id,save_type", "tracks": "track_id", "playlists": "playlist_id",
    "users": "user_id"}.items())
PARTITIONS = 6
POLL_MS = 10          # Debezium's poll.interval.ms
TRANSACTION_ROWS = 2_000
WAIT_S_MAX = 900
PACE_S = 0.01         # the paced writer commits so often


class Scene:
    """Use it as a context: everything in it ends with the context, and the set is as it was."""

    def __init__(self, options, *, batch: list[str] | None = None):
        self.build = options.build
        self.batch = batch or []
        self.dataset = Dataset(options.data, options.scale)
        self.sizes = self.dataset.sizes
        self.block = self.sizes.last_block + 1  # of all that is added
        self.added = 0                          # reposts so far; each is another user's
        self.stack = Stack(parts=("kafka", "connect"))

    def __enter__(self) -> "Scene":
        self.dataset.start()
        try:
            self.stack.__enter__()
            self._clean()
            self.postgres.psql(f"{REPO}/sql/roles.sql", DATABASE)
            self.sql("insert into blocks values ('bench', %s)", (self.block,))
            self._connect()
            self.sql("checkpoint")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *problem) -> None:
        try:
            self.stack.__exit__(*problem)
            self._clean()
        finally:
            self.dataset.stop()

    @property
    def postgres(self):
        return self.dataset.postgres

    def sql(self, text: str, parameters=None) -> list[tuple]:
        return self.dataset.sql(text, parameters)

    # -- Debezium
    def _connect(self) -> None:
        """It begins at the end of the log: the set itself is not sent."""
        for table in TABLES:
            self.stack.kafka.create_topic(self.topic(table), PARTITIONS)
        self.stack.connect.create_connector(SLOT, debezium_config(
            self.postgres, DATABASE, [f"public.{table}" for table in TABLES], prefix=PREFIX,
            slot=SLOT, publication=SLOT, message_key_columns=LOGICAL_KEYS, snapshot_mode="no_data",
            extra={"poll.interval.ms": str(POLL_MS)}))
        wait_until(lambda: self.sql("select 1 from pg_replication_slots where active"), 60,
                   "Debezium's slot")

    def topic(self, table: str) -> str:
        return f"{PREFIX}.public.{table}"

    def end_offsets(self) -> dict[tuple[str, int], int]:
        return {(topic, partition): end for topic in map(self.topic, TABLES)
                for partition, end in self.stack.kafka.end_offsets(topic).items()}

    def wait_sent(self) -> None:
        """Until Debezium has sent all that is committed now. The slot may be confirmed past records
        that its producer still has in hand, so the reposts are counted: a record each."""
        (last,), = self.sql("select pg_current_wal_insert_lsn()")
        self.sql("select pg_logical_emit_message(true, 'bench', 'passed')")
        wait_until(lambda: self.sql("select 1 from pg_replication_slots where slot_name = %s and "
                                    "confirmed_flush_lsn >= %s::pg_lsn", (SLOT, last)),
                   WAIT_S_MAX, "Debezium sends what was written")
        wait_until(lambda: sum(self.stack.kafka.end_offsets(self.topic("reposts")).values())
                   >= self.added, WAIT_S_MAX, "every repost is in Kafka")

    # -- Tidemark
    @property
    def binary(self) -> str:
        return f"{self.build}/tidemark"

    def migrate(self) -> None:
        run([self.binary, "migrate", "--config", self.config(0), "--run-role", RUN_ROLE],
            "tidemark migrate", timeout_s=WAIT_S_MAX)

    def settle(self) -> None:
        """As after the first claim, the first pass and the first sweeps: the set is right as it
        was made, and nothing is on its way."""
        member = self.member(derive="threads = 0")
        member.start()
        self.wait(member, lambda: self.sql("select count(*) from tidemark.progress") == [
            (PARTITIONS * len(TABLES),)], "the first claim")
        self.end(member)
        self.sql("delete from tidemark.suspect_ranges; delete from tidemark.dirty;"
                 "update tidemark.passes set ended_at = now();"
                 "update tidemark.turn set pass_at = now();"
                 "update tidemark.sweeps set requested = false, begun_at = now(), ended_at = now(),"
                 " phase = null, at = null")

    def member(self, number: int = 1, **sections: str) -> Member:
        """A member, not yet started; `sections` are more lines of its configuration."""
        port = self.stack.free_port()
        return self.stack.member(self.config(port, **sections), port, name=f"member{number}",
                                 binary=self.binary)

    def end(self, member: Member) -> None:
        member.stop()
        self.stack.members.remove(member)

    def config(self, port: int, *, recount: str = "", derive: str = "") -> str:
        path = self.stack.path(f"tidemark-{port}.toml")
        lines = "\n".join(self.batch)
        with open(path, "w", encoding="utf-8") as out:
            out.write(f"""[kafka]
"bootstrap.servers" = "{self.stack.kafka.bootstrap}"
"group.id" = "{GROUP}"
[topics]
prefix = "{PREFIX}"
[postgres]
connection = "{self.postgres.dsn(DATABASE, RUN_ROLE)}"
migrate_connection = "{self.postgres.dsn(DATABASE, MIGRATE_ROLE)}"
[schemas]
path = "{REPO}/schemas"
[recount]
slot = "{SLOT}"
every_ms = 3600000
{recount}
[derive]
sweep_every_ms = 0
{derive}
[http]
listen = "127.0.0.1:{port}"
[batch]
{lines}
""")
        return path

    def command(self, *arguments: str, codes: tuple = (0,)) -> subprocess.CompletedProcess:
        """Runs a command to its end."""
        done = subprocess.run([self.binary, *arguments, "--config", self.config(0)], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, check=False,
                              timeout=WAIT_S_MAX)
        if done.returncode not in codes:
            raise BenchFailed(f"tidemark {arguments[0]} ended with {done.returncode}: "
                              f"{done.stderr}")
        return done

    def wait(self, member: Member, check, what: str, *, every_s: float = 0.05) -> None:
        """Polls until check() is true; raises when the member ends."""
        deadline = time.monotonic() + WAIT_S_MAX
        while not check():
            if not member.running():
                raise BenchFailed(f"{member.name} ended with {member.exit_code()}.\n"
                                  f"{member.process.tail()}")
            if time.monotonic() > deadline:
                raise BenchFailed(f"{what}: not within {WAIT_S_MAX} s")
            time.sleep(every_s)

    def behind(self, ends: dict) -> int:
        """Records below these ends that are not applied."""
        applied = {(topic, partition): at for topic, partition, at in self.sql(
            "select topic, partition, next_offset from tidemark.progress")}
        return sum(max(0, end - max(0, applied.get(where, 0))) for where, end in ends.items())

    # -- what is written
    def add_reposts(self, rows: int) -> None:
        """Each by a user who has none of this block yet, of skewed tracks; in transactions of a
        few thousand rows."""
        connection = self.postgres.connect(DATABASE)
        try:
            with connection.cursor() as cursor:
                for first in range(0, rows, TRANSACTION_ROWS):
                    self._add(cursor, min(TRANSACTION_ROWS, rows - first))
        finally:
            connection.close()

    def _add(self, cursor, rows: int) -> None:
        first = self.added + 1
        self.added += rows
        if self.added > self.sizes.users:
            raise BenchFailed(f"{self.added} reposts, each of another user, are more than there "
                              "are users: take a larger --scale")
        chance = "((hashint8(n) & 1048575) / 1048576.0::float8)"
        item = dataset_sql.item_of(f"floor({self.sizes.tracks} * {chance} * {chance} * {chance})",
                                   self.sizes.tracks)
        cursor.execute(f"""
            insert into reposts (user_id, repost_item_id, repost_type, is_current, is_delete,
                                 created_at, txhash, blocknumber)
            select {dataset_sql.user_of('n', self.sizes)}, {item}, 'track', true, false,
                   now() at time zone 'UTC', '0xbench' || lpad(to_hex(n), 59, '0'), {self.block}
              from generate_series({first}, {self.added}) as n""")

    # -- the end
    def _clean(self) -> None:
        """Takes away what this run, or one before that was killed, left in the set."""
        for slot, in self.sql("select slot_name from pg_replication_slots"):
            wait_until(lambda slot=slot: not self.sql(
                "select 1 from pg_replication_slots where slot_name = %s and active", (slot,)),
                60, f"the end of {slot}'s connection")
            self.sql("select pg_drop_replication_slot(%s)", (slot,))
        self.sql(f"drop publication if exists {SLOT}; drop schema if exists tidemark cascade")
        if not self.sql("select 1 from blocks where number = %s", (self.block,)):
            return
        say("the data set is put back as it was made")
        self.sql(_PUT_BACK, {"block": self.block,
                             "notification": self.dataset.about["last_notification"]})


# Deleting a block deletes what it wrote, by cascade.
_PUT_BACK = """
create temporary table touched as
select user_id, repost_item_id as track_id from reposts where blocknumber = %(block)s;
delete from blocks where number = %(block)s;
delete from user_challenges where created_at > timestamptz '2024-01-02';
delete from notification where id > %(notification)s;
delete from milestones;
delete from indexing_checkpoints;
analyze touched;
update aggregate_user as a
   set repost_count = (select count(*) from reposts as r
                        where r.user_id = a.user_id and r.is_current and not r.is_delete)
  from (select distinct user_id from touched) as t where t.user_id = a.user_id;
update aggregate_track as a
   set repost_count = (select count(*) from reposts as r
                        where r.repost_item_id = a.track_id and r.repost_type = 'track'
                          and r.is_current and not r.is_delete)
  from (select distinct track_id from touched) as t where t.track_id = a.track_id"""


class PacedWriter:
    """Adds reposts at a rate, in small transactions, from start() to stop()."""

    def __init__(self, scene: Scene, rate: int):
        self._scene, self._rate = scene, rate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: Exception | None = None
        self.rows = 0
        self.late_s = 0.0  # how far it is behind its rate

    def __enter__(self) -> "PacedWriter":
        self._thread.start()
        return self

    def __exit__(self, kind, problem, trace) -> None:
        self._stopping.set()
        self._thread.join(60)
        if kind is None and self._failure is not None:
            raise BenchFailed(f"the writer failed: {self._failure}")

    def _run(self) -> None:
        try:
            connection = self._scene.postgres.connect(DATABASE)
            begin = time.monotonic()
            with connection.cursor() as cursor:
                while not self._stopping.is_set():
                    due = int((time.monotonic() - begin) * self._rate) - self.rows
                    if due > 0:
                        self._scene._add(cursor, due)
                        self.rows += due
                    self._stopping.wait(PACE_S)
            connection.close()
        except Exception as problem:  # judged in the main thread
            self._failure = problem
