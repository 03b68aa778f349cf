"""One scenario's own database, topics, group and members on the shared stack, and what proves them right.

Each world watches every change of tidemark.progress by a trigger of its own: how far each
transaction went, under which epoch, and when. `verify` ends a scenario: the counters are recomputed
by ops/app/checker.py, and the applied offsets are demanded to be whole.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [path for path in (REPO, os.path.join(REPO, "ops", "app")) if path not in sys.path]

import checker  # noqa: E402
import psycopg2  # noqa: E402
from ops.stack import Client, StackError, debezium_config, wait_until  # noqa: E402

TABLES = ("reposts", "saves", "follows", "user_events", "users", "tracks", "playlists", "remixes")
LOGICAL_KEYS = ";".join(f"public.{table}:{columns}" for table, columns in {
    "follows": "follower_user_id,followee_user_id",
    "reposts": "user_id,repost_item_id,repost_type",
    "saves": "user_id,save_item_id,save_type",
    "tracks": "track_id", "playlists": "playlist_id", "users": "user_id"}.items())
SIGNALS = "public.debezium_signal"
PARTITIONS = 2
PATIENCE_S = 120     # for what takes a moment, on a machine that is slow; past this something is stuck
DRAIN_S_MAX = 180    # for what takes seconds
COMMAND_S_MAX = 180
SESSION_MS = 4000    # a killed member's partitions wait so long for their new owner
SILENCE_MS = 2_000   # a producer that gets no CPU is silent, too
CALM_S = 2.0         # between finding a pass due and beginning it, at most, when batches don't hold the turn
PRODUCERS_MS = 4000  # Connect's producer looks at the topics each second here
EVIDENCE_BYTES_MAX = 64 << 20
HOLD_LOCK = 4711     # none of Tidemark's
NEXT_XID = (1 << 32) - 600_000  # so that ids come again while scenarios run
STACK_SETTINGS = {"group.min.session.timeout.ms": "1000"}

AUDIT = """
create table public.e2e_audit (
    id bigserial primary key, at timestamptz not null default clock_timestamp(), topic text, partition int,
    owner text, epoch bigint, from_offset bigint, to_offset bigint, claimed boolean);
create function public.e2e_note() returns trigger language plpgsql security definer as $$
begin
    insert into public.e2e_audit (topic, partition, owner, epoch, from_offset, to_offset, claimed)
    values (new.topic, new.partition, new.owner, new.epoch, coalesce(old.next_offset, -1), new.next_offset,
            old is null or new.epoch <> old.epoch);
    return null;
end $$;
create trigger e2e_note after insert or update on tidemark.progress for each row execute function public.e2e_note();

-- What fences and the ledger went through: of a drift that nobody made, it tells where it came from.
create table public.e2e_history (
    id bigserial primary key, at timestamptz not null default clock_timestamp(), xid xid8 not null default pg_current_xact_id(),
    was text not null, row_then jsonb not null);
create function public.e2e_remember() returns trigger language plpgsql security definer as $$
begin
    insert into public.e2e_history (was, row_then) values (tg_op || ' ' || tg_table_name, to_jsonb(coalesce(new, old)) - 'offsets');
    return null;
end $$;
create trigger e2e_remember after insert or update or delete on tidemark.ledger for each row execute function public.e2e_remember();
create trigger e2e_remember after insert or delete on tidemark.fences for each row execute function public.e2e_remember();
"""


RECOUNT_STATE = """
select (select count(*) from tidemark.passes where ended_at is null),
       (select array_agg(a.state || ' ' || coalesce(a.wait_event, '') || ' ' || a.query) from pg_locks l
          join pg_stat_activity a using (pid) where l.locktype = 'advisory' and a.datname = current_database()),
       (select confirmed_flush_lsn - '0/0'::pg_lsn >= (select min(inserted) from tidemark.fences)
          from pg_replication_slots where slot_name = %s)
"""


class Failed(Exception):
    """What a scenario demanded and did not find, in words."""


def demand(good, text):
    if not good:
        raise Failed(text)


@dataclasses.dataclass
class Answer:
    """What a one-shot command ended with."""
    code: int
    out: str
    err: str


@dataclasses.dataclass
class Binaries:
    plain: str  # as it is shipped
    kill: str   # with kill points


class World:
    """All names begin with `name`; close() ends and removes everything but the logs."""

    tables = TABLES

    def __init__(self, stack, name, binaries, long=False):
        self.stack, self.name, self.binaries, self.long = stack, name, binaries, long
        self.client = Client(stack.kafka.bootstrap)
        self.members = []
        self.proxies = []
        self.connector = None
        self.tolerated = set()  # columns that may differ, where a scenario loses records on purpose
        self.fenced_seen = 0
        # Worlds that are fed a recording hold its end state already: a recount would count it at once and
        # leave nothing to the stream. They count without a recounter.
        self.recounted = False
        self.pass_every_ms = 3_600_000
        self.calm = False            # wait_recounted() keeps passes from beginning
        self.rows = stack.postgres   # the server of the watched tables and of Debezium's slot
        self.cells = stack.postgres  # the server of the cells and of Tidemark's state
        self.standbys = {}           # of servers of the world's own, by server
        self.schemas = os.path.join(REPO, "schemas")
        self.settings = ""           # more of a member's configuration
        self.cli_port = None         # one is enough: no command but `run` listens

    def topic(self, table):
        return f"{self.name}.public.{table}"

    # -- making
    def make_database(self, template=None):
        postgres = self.rows
        if template:
            postgres.execute(f'create database "{self.name}" template "{template}"')
        else:
            postgres.create_database(self.name)
            postgres.psql(os.path.join(REPO, "ops", "app", "schema.sql"), self.name)
        postgres.psql(os.path.join(REPO, "sql", "roles.sql"), self.name)

    def make_topics(self, tables=TABLES):
        for table in tables:
            self.client.create_topic(self.topic(table), PARTITIONS)
        wait_until(lambda: all(self.client.topics().get(self.topic(table)) == PARTITIONS for table in tables),
                   PATIENCE_S, "the scenario's topics")

    def make_connector(self, logical_keys=True, **options):
        self.connector = self.name
        self.recounted = True
        self.rows_sql(f"create table {SIGNALS} (id varchar(42) primary key, type varchar(32) not null, data varchar(2048))")
        self.stack.connect.create_connector(self.name, self.connector_config(logical_keys, **options))

    def connector_config(self, logical_keys=True, *, extra=None, **options):
        return debezium_config(
            self.rows, self.name, [f"public.{table}" for table in TABLES] + [SIGNALS], prefix=self.name, slot=self.name,
            publication=self.name, message_key_columns=LOGICAL_KEYS if logical_keys else "",
            extra={"signal.data.collection": SIGNALS} | (extra or {}), **options)

    def write_config(self, name, port, *, kafka=None, connection=None, schemas=None, group=None, limits=""):
        """A member's configuration; `kafka` are further librdkafka properties."""
        settings = {"bootstrap.servers": self.stack.kafka.bootstrap, "group.id": group or self.name,
                    "session.timeout.ms": str(SESSION_MS), "heartbeat.interval.ms": "500"} | (kafka or {})
        path = self.stack.path(f"{self.name}-{name}.toml")
        with open(path, "w", encoding="utf-8") as out:
            out.write("[kafka]\n" + "".join(f'"{key}" = "{value}"\n' for key, value in settings.items()))
            out.write(f"""
[topics]
prefix = "{self.name}"

[postgres]
connection = "{connection or self.dsn(self.cells, "tidemark_run")}"
migrate_connection = "{self.dsn(self.cells, "tidemark_migrate")}"

[schemas]
path = "{schemas or self.schemas}"

[recount]
enabled = {"true" if self.recounted else "false"}
slot = "{self.name}"
every_ms = {self.pass_every_ms}
producers_ms = {PRODUCERS_MS}
silence_ms = {SILENCE_MS}

{self.settings}
[http]
listen = "127.0.0.1:{port}"
{limits}""")
        return path

    def migrate(self):
        answer = self.command("migrate", "--run-role", "tidemark_run")
        demand(answer.code == 0, f"migrate ended with {answer.code}: {answer.err}")
        self.sql(AUDIT)

    def member(self, *, kill=None, via=None, start=True, binary=None, name=None, **config):
        """A member, started; `kill` arms a kill point, `via` is a proxy in front of Postgres."""
        number = len(self.members) + 1
        name, port = name or f"m{number}", self.stack.free_port()
        if via is not None:
            config["connection"] = via.dsn(self.name, "tidemark_run")
        path = self.write_config(name, port, **config)
        member = self.stack.member(path, port, name=f"{self.name}-{name}",
                                   binary=binary or (self.binaries.kill if kill else self.binaries.plain),
                                   env={"TIDEMARK_KILL": kill} if kill else None)
        self.members.append(member)
        if start:
            member.start()
        return member

    def proxy(self):
        proxy = self.stack.proxy()
        self.proxies.append(proxy)
        return proxy

    def command(self, *arguments, config=None):
        """Runs one command of the plain binary to its end."""
        self.cli_port = self.cli_port or self.stack.free_port()
        path = config or self.write_config("cli", self.cli_port)
        done = subprocess.run([self.binaries.plain, *arguments, "--config", path], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=COMMAND_S_MAX, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)

    def status(self):
        answer = self.command("status", "--json")
        demand(answer.code == 0, f"status ended with {answer.code}: {answer.err}")
        return json.loads(answer.out)

    # -- asking
    def sql(self, text, parameters=None):
        return self.cells.execute(text, parameters, dbname=self.name)

    def insist(self, text):
        """sql() beside writers that lock the same rows: Postgres may choose it to fail when they wait for each other."""
        def done():
            try:
                self.sql(text)
                return True
            except psycopg2.errors.DeadlockDetected:
                return False
        wait_until(done, PATIENCE_S, text)

    def held_after_first(self, event, stored, slow_s):
        """What does `event` is slow from now on. Once `stored` gives a row, the first one goes on, and each that comes after it
        waits until the connection that this gives is closed. It stays slow until let_go()."""
        self.sql(f"""
            create sequence public.e2e_held;
            create function public.e2e_hold() returns trigger language plpgsql security definer set lock_timeout = 0 as $$
            begin
                perform pg_catalog.pg_sleep({slow_s});
                if exists ({stored}) and pg_catalog.nextval('public.e2e_held') > 1 then
                    perform pg_catalog.pg_advisory_xact_lock_shared({HOLD_LOCK});
                end if;
                return null;
            end $$;
            create trigger e2e_hold after {event} for each statement execute function public.e2e_hold()""")
        holder = self.cells.connect(self.name)
        with holder.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(%s)", (HOLD_LOCK,))
        return holder

    def let_go(self):
        self.sql("drop function public.e2e_hold cascade; drop sequence public.e2e_held")

    def rows_sql(self, text, parameters=None):
        """On the server of the watched tables and of Debezium's slot."""
        return self.rows.execute(text, parameters, dbname=self.name)

    def dsn(self, server, user="postgres"):
        """What leads to a server, and to its standby once that is promoted."""
        standby = self.standbys.get(server)
        if standby is None:
            return server.dsn(self.name, user)
        return (f"host={server.host},{standby.host} port={server.port},{standby.port} dbname={self.name} user={user}"
                " target_session_attrs=read-write connect_timeout=5")

    def session(self):
        """A connection of the application's owner, for a `with`."""
        return contextlib.closing(psycopg2.connect(self.rows.dsn(self.name)))

    def ends(self):
        return {(self.topic(table), partition): end for table in TABLES
                for partition, end in self.client.end_offsets(self.topic(table)).items()}

    def applied(self):
        return {(topic, partition): at for topic, partition, at in
                self.sql("select topic, partition, next_offset from tidemark.progress")}

    def owners(self):
        """{pid of a member: how many partitions it claimed last}."""
        return {int(owner.rpartition(":")[2]): count for owner, count in
                self.sql("select owner, count(*) from tidemark.progress group by 1")}

    def records_applied(self):
        return sum(at for at in self.applied().values() if at > 0)

    def check_members(self, dead=()):
        for member in self.members:
            if member in dead or member.exit_code() is None or member.exit_code() in (0, -9):
                continue
            raise Failed(f"{member.name} ended by itself, with {member.exit_code()}:\n{member.process.tail()}")

    def lag(self, ends):
        applied = self.applied()
        return sum(max(0, end - max(0, applied.get(where, 0))) for where, end in ends.items())

    def total(self, name, *members):
        """A metric of these members together, or of all; -1 when one of them doesn't answer."""
        try:
            return sum(member.metric(name) for member in members or self.members)
        except StackError:
            return -1

    def fenced(self):
        """Batches that living members dropped as another owner had moved on."""
        return int(sum(member.metric("tidemark_fenced_batches_total") for member in self.members
                       if member.running() and member.is_live()))

    # -- waiting
    def wait_applied(self, ends=None, timeout_s=DRAIN_S_MAX):
        """Until everything up to `ends` (now, by default) is applied; returns the seconds."""
        ends, begin = ends or self.ends(), time.monotonic()
        deadline = begin + timeout_s
        while True:
            self.check_members()
            left = self.lag(ends)
            if not left:
                return time.monotonic() - begin
            if time.monotonic() > deadline:
                applied = self.applied()
                stuck = {where: (applied.get(where), end) for where, end in ends.items() if applied.get(where, 0) < end}
                raise Failed(f"{left} records are not applied after {timeout_s} s: {stuck}")
            time.sleep(0.1)

    def wait_streamed(self):
        """Until Debezium has sent all that is committed now."""
        (last,), = self.rows_sql("select pg_current_wal_insert_lsn()")

        def passed():
            self.rows_sql("select pg_logical_emit_message(true, 'e2e', 'passed')")
            return self.rows_sql("select 1 from pg_replication_slots where slot_name = %s and confirmed_flush_lsn >= %s",
                            (self.name, last))
        wait_until(passed, DRAIN_S_MAX, "Debezium's slot at the last commit")

    def wait_records(self, count, timeout_s=PATIENCE_S):
        """Until so many records are applied in all."""
        def there():
            self.check_members()
            return self.records_applied() >= count
        wait_until(there, timeout_s, f"{count} records applied")

    def wait_more(self, count=1, timeout_s=PATIENCE_S):
        """Until so many more records are applied; only while traffic goes on."""
        self.wait_records(self.records_applied() + count, timeout_s)

    def wait_recounted_once(self):
        """While changes go on: until nothing is suspect as a whole, and all that the recounts until then saw has arrived."""
        def done(sql, *parameters):
            def look():
                self.check_members()
                return self.sql(sql, parameters)[0][0]
            return look
        wait_until(done("select not exists (select from tidemark.suspect_ranges)"), DRAIN_S_MAX, "all is recounted once")
        (newest,), = self.sql("select coalesce(max(id), 0) from tidemark.fences")
        wait_until(done("select not exists (select from tidemark.fences where id <= %s)", newest), DRAIN_S_MAX,
                   "what the recounts saw has arrived")

    def wait_recounted(self, for_s=0.0):
        """Until nothing is suspect and all that recounts saw has arrived. In a calm world: until that has been so for
        `for_s`, without a pass, as who found one due before the calm still begins it, and the schedule with it.
        """
        since = time.monotonic()

        def left():
            (row,), = self.sql("select row(" + ", ".join(f"(select count(*) from tidemark.{table})" for table in
                               ("suspects", "suspect_ranges", "fences")) + ")::text")
            return row

        def no_pass():
            begun = self.sql("update tidemark.turn set pass_at = 'infinity' where pass_at is distinct from 'infinity'"
                             " returning 1")
            return not begun and not self.sql("select 1 from tidemark.passes where ended_at is null")

        def settled():
            nonlocal since
            self.check_members()
            if (self.calm and not no_pass()) or left() != "(0,0,0)":
                since = time.monotonic()
                return False
            return time.monotonic() - since >= for_s
        try:
            wait_until(settled, DRAIN_S_MAX, "nothing suspect and no fence outstanding")
        except StackError as error:
            raise Failed(f"{error}; suspects, ranges, fences left: {left()}; passes not ended, recounters, slot past the "
                         f"first fence: {self.sql(RECOUNT_STATE, (self.name,))}") from error

    # -- proving
    def verify(self, whole=True, drift=()):
        """Counters right, offsets whole; returns the figures. `whole`: no partition was begun anew.

        In a recounted world also: nothing suspect, and the drift that was made by hand, no more: as (aggregate,
        counter, key, difference), by that order.
        """
        if self.recounted:
            self.wait_recounted()
            found = self.sql("select aggregate, counter, key, difference, to_jsonb(d) from tidemark.drift d order by 1, 2, 3, 4")
            demand([row[:4] for row in found] == sorted(drift),
                   f"drift: {[row[4] for row in found[:5]]}, expected {sorted(drift)[:5]}")
        counted = checker.check(self.rows.dsn(self.name), self.recounted)
        wrong = [str(d) for d in counted.differences if d.column not in self.tolerated]
        demand(counted.checked > 0, "there was no cell to check")
        if wrong or (counted.different and not self.tolerated):
            raise Failed(f"{counted.different} of {counted.checked} cells differ:\n  " + "\n  ".join(wrong[:10]))
        records = self.verify_progress(whole)
        return (f"cells checked: {counted.checked}, cells different: {counted.different}; {records} records, "
                f"no holes")

    def verify_progress(self, whole):
        """The advances of each partition are one chain from its first record to its end."""
        broken = self.sql("""
            select topic, partition, from_offset, to_offset, before from (
                select *, lag(to_offset) over w as before, lag(epoch) over w as epoch_before
                from public.e2e_audit window w as (partition by topic, partition order by id)) a
            where from_offset <> coalesce(before, -1) or epoch < epoch_before
               or (to_offset < from_offset and %s) or (to_offset > from_offset and claimed)""", (whole,))
        demand(not broken, f"the offsets jumped: {broken[:5]}")
        behind = {where: (self.applied().get(where), end) for where, end in self.ends().items()
                  if end > 0 and self.applied().get(where) != end}
        demand(not behind, f"the stored offsets are not the ends: {behind}")
        return self.records_applied()

    def first_commit_ms(self, pid):
        """From a member's last claim until the first batch that it committed after it."""
        rows = self.sql("""
            with claim as (select max(id) as id, max(at) as at from public.e2e_audit
                           where claimed and owner like %s)
            select extract(epoch from min(a.at) - min(claim.at)) * 1000 from public.e2e_audit a, claim
            where a.id > claim.id and a.owner like %s and not a.claimed""", (f"%:{pid}", f"%:{pid}"))
        return None if rows[0][0] is None else round(float(rows[0][0]))

    # -- ending
    def keep_evidence(self, folder):
        """The database as it is (for pg_restore) and what the topics hold, for whoever looks why a scenario failed."""
        os.makedirs(folder, exist_ok=True)
        try:
            self.cells.dump(self.name, os.path.join(folder, "database.dump"))
            with open(os.path.join(folder, "records.jsonl"), "w", encoding="utf-8") as out:
                for topic in sorted(t for t in self.client.topics() if t.startswith(f"{self.name}.")):
                    if out.tell() > EVIDENCE_BYTES_MAX:
                        break
                    for r in self.client.records(topic):
                        out.write(json.dumps([r.topic, r.partition, r.offset, *(
                            None if part is None else part.decode(errors="backslashreplace") for part in (r.key, r.value))]) + "\n")
        except Exception as problem:  # the score is told whatever becomes of this
            print(f"  ({self.name}: {problem})", file=sys.stderr)

    def close(self, logs=None):
        """kill -9 of the members; database, topics and connector go. `logs`: a folder for their logs."""
        for member in self.members:
            member.kill9()
            if logs and os.path.exists(member.log):
                os.makedirs(logs, exist_ok=True)
                shutil.copy(member.log, logs)
        for proxy in self.proxies:
            proxy.stop()
        for step in (self._drop_connector, self._drop_topics, self._drop_database):
            try:
                step()
            except (StackError, RuntimeError, OSError, psycopg2.Error) as problem:
                print(f"  ({self.name}: {problem})", file=sys.stderr)
        self.client.close()

    def release_source(self):
        """Ends what holds on to the database and the topics from the outside."""
        self._drop_connector()
        self._drop_topics()
        self.client.close()

    def _drop_connector(self):
        if not self.connector:
            return
        self.stack.connect.delete_connector(self.connector)
        postgres, slot = self.rows, (self.connector,)
        wait_until(lambda: not postgres.execute(
            "select 1 from pg_replication_slots where slot_name = %s and active", slot), PATIENCE_S, "the idle slot")
        postgres.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", slot)
        self.connector = None

    def _drop_topics(self):
        for topic in self.client.topics():
            if topic.startswith(f"{self.name}."):
                self.client.delete_topic(topic)

    def _drop_database(self):
        self.rows.execute(f'drop database if exists "{self.name}" with (force)')
