"""The test bed: one Postgres, one broker, topics that are generated once, and fresh databases.

Each run gets a database of its own, copied from a template that holds the application's tables with
every aggregate row there, vacuumed, and Tidemark's state; so that no run pays for the one before.
"""

import dataclasses
import json
import os

from ops.stack import Member, Stack, run
from figures import BenchFailed, say

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUN_ROLE, MIGRATE_ROLE = "tidemark_run", "tidemark_migrate"  # made by sql/roles.sql
GROUP = "bench"
PARTITIONS = 6
EVENT_BYTES = 900
TOOL_S_MAX = 1800
# A shared machine of 24 GiB: buffers hold the tables of a million rows; a run ends before the next
# checkpoint is due, and begins with one.
POSTGRES = {"shared_buffers": "2GB", "max_wal_size": "16GB", "checkpoint_timeout": "30min",
            "max_prepared_transactions": "0"}
# The members of one round find each other before the first of them gets partitions, or the second
# would come when the first is through.
REBALANCE_DELAY_MS = 1500

# The reposts are not there: the topics are generated, and counted from zero.
RECOUNT_OFF = "enabled = false"
# Rules are declared only where there is something to recount and derive from. No pass is due.
RECOUNT_NEVER = "every_ms = 3600000"


@dataclasses.dataclass(frozen=True)
class Topic:
    """A topic full of events, and the file that says what they add up to."""
    name: str
    events: int
    ids: int
    truth: str


class Bed:
    """Use it as a context: everything in it ends with the context.

    `batch`: lines of a member's section [batch]; none: the defaults, for which the goals are set.
    """

    def __init__(self, build: str, *, batch: list[str] | None = None, rebalance_delay_ms: int = 0):
        self.build = build
        self.batch = batch or []
        self.stack = Stack(parts=("postgres", "kafka"), fsync=True, postgres_settings=POSTGRES,
                           kafka_settings={
                               "group.initial.rebalance.delay.ms": str(rebalance_delay_ms),
                               "log.retention.ms": "-1"})
        self._topics: dict[str, Topic] = {}
        self._templates: set[str] = set()
        self._databases = 0

    def __enter__(self) -> "Bed":
        self.stack.__enter__()
        settings = ", ".join(f"{name} {value}" for name, value in POSTGRES.items())
        say(f"Postgres 15: fsync on, {settings}, fillfactor 50; Kafka 4.3.1: 512 MiB heap; "
            f"{os.cpu_count()} cores for all")
        if self.batch:
            say(f"not at the defaults: {', '.join(self.batch)}")
        return self

    def __exit__(self, *problem) -> None:
        self.stack.__exit__(*problem)

    @property
    def postgres(self):
        return self.stack.postgres

    @property
    def bootstrap(self) -> str:
        return self.stack.kafka.bootstrap

    # -- tools
    def tool(self, name: str) -> str:
        """The path of one of the programs in tests/bench."""
        return os.path.join(self.build, "tests", "bench", name)

    def ask(self, name: str, *arguments: str) -> dict:
        """Runs a tool to its end; its last line is JSON."""
        out = run([self.tool(name), *arguments], name, timeout_s=TOOL_S_MAX)
        return json.loads(out.splitlines()[-1])

    # -- topics
    def topic(self, *, events: int, ids: int, zipf: float) -> Topic:
        """The topic with these events; filled when it is asked for the first time."""
        name = f"bench.z{zipf:g}.i{ids}.n{events}"
        if name not in self._topics:
            say(f"generating {events:,} events of {EVENT_BYTES} bytes, {ids:,} users and items, "
                f"{f'Zipf {zipf:g}' if zipf else 'uniform'}")
            self.stack.kafka.create_topic(name, PARTITIONS)
            truth = self.stack.path(f"{name}.truth")
            run([self.tool("generate"), "--brokers", self.bootstrap, "--topic", name, "--truth",
                 truth, "--events", str(events), "--ids", str(ids), "--zipf", str(zipf), "--bytes",
                 str(EVENT_BYTES)], "generate", timeout_s=TOOL_S_MAX)
            held = sum(self.stack.kafka.end_offsets(name).values())
            if held != events:
                raise BenchFailed(f"{name} holds {held} events instead of {events}")
            self._topics[name] = Topic(name, events, ids, truth)
        return self._topics[name]

    # -- databases
    def fresh(self, rows: int, *, derive: str = "") -> str:
        """A new database with aggregate rows 1 to `rows`, all counts 0; its pages in memory, what
        fits, and nothing left to write. Drop it by drop(). `derive`: lines of that section."""
        template = self._template(rows, derive)
        self._databases += 1
        name = f"run{self._databases}"
        self.postgres.execute(f"create database {name} template {template} strategy file_copy")
        self.postgres.execute(
            "select pg_prewarm(c.oid::regclass) from pg_class c where c.relname in "
            "('aggregate_user_pkey', 'aggregate_track_pkey', 'aggregate_user', 'aggregate_track')",
            dbname=name)
        self.postgres.execute("checkpoint")
        return name

    def drop(self, name: str) -> None:
        self.postgres.execute(f"drop database {name} with (force)")

    def _template(self, rows: int, derive: str) -> str:
        # Whether rules are declared is in the state's hash; how many derive is not.
        name = f"rows{rows}" + ("off" if "enabled = false" in derive else "")
        if name in self._templates:
            return name
        say(f"making tables with {rows:,} users and {rows:,} tracks")
        self.postgres.create_database(name)
        self.postgres.psql(os.path.join(REPO, "ops", "app", "schema.sql"), name)
        self.postgres.psql(os.path.join(REPO, "sql", "roles.sql"), name)
        self.postgres.execute(
            f"insert into aggregate_user (user_id) select generate_series(1, {rows});"
            f"insert into aggregate_track (track_id) select generate_series(1, {rows});"
            "create extension pg_prewarm", dbname=name)
        for table in ("aggregate_user", "aggregate_track"):
            self.postgres.execute(f"vacuum (freeze, analyze) {table}", dbname=name)
        config = self.config(name, {"public.reposts": "none"}, 0, derive=derive)
        run([self.binary, "migrate", "--config", config, "--run-role", RUN_ROLE],
            "tidemark migrate", timeout_s=120)
        if derive:
            self.postgres.execute(_SETTLED, {"users": rows}, dbname=name)
        self._templates.add(name)
        return name

    # -- members
    @property
    def binary(self) -> str:
        return os.path.join(self.build, "tidemark")

    def member(self, database: str, topics: dict[str, str], *, lists: list[str] | None = None,
               number: int = 1, derive: str = "") -> Member:
        """A member at the default limits, not yet started. `topics`: table -> topic; `lists`: more
        topics, of several tables."""
        port = self.stack.free_port()
        config = self.config(database, topics, port, lists=lists, number=number, derive=derive)
        return self.stack.member(config, port, name=f"{database}-member{number}",
                                 binary=self.binary)

    def config(self, database: str, topics: dict[str, str], port: int, *,
               lists: list[str] | None = None, number: int = 1, derive: str = "") -> str:
        path = self.stack.path(f"{database}-{number}.toml")
        mapped = "\n".join(f'"{table}" = "{topic}"' for table, topic in topics.items())
        with open(path, "w", encoding="utf-8") as out:
            out.write(f"""[kafka]
"bootstrap.servers" = "{self.bootstrap}"
"group.id" = "{GROUP}"

[topics]
{f"list = {json.dumps(lists)}" if lists else ""}
[topics.map]
{mapped}

[postgres]
connection = "{self.postgres.dsn(database, RUN_ROLE)}"
migrate_connection = "{self.postgres.dsn(database, MIGRATE_ROLE)}"

[schemas]
path = "{os.path.join(REPO, "schemas")}"

[recount]
{RECOUNT_NEVER if derive else RECOUNT_OFF}

[derive]
{derive}

[http]
listen = "127.0.0.1:{port}"

[batch]
{chr(10).join(self.batch)}
""")
        return path

    # -- truth
    def check(self, database: str, topic: Topic) -> int:
        """Compares every cell with what the events add up to; how many there are. Raises when one
        differs, or when anything is suspect or parked."""
        connection = self.postgres.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute("create temporary table truth (kind text, id integer, n bigint)")
                with open(topic.truth, encoding="ascii") as lines:
                    cursor.copy_expert("copy truth from stdin", lines)
                cursor.execute(_DIFFERENT)
                cells, different = cursor.fetchone()
                cursor.execute("select (select count(*) from tidemark.suspects),"
                               " (select count(*) from tidemark.parked)")
                suspects, parked = cursor.fetchone()
        finally:
            connection.close()
        if different or suspects or parked:
            raise BenchFailed(f"{different} of {cells} cells differ from the truth, {suspects} are "
                              f"suspect, {parked} records are parked")
        return cells


# As after the first pass and the first sweeps; every user has a profile with a step or two to go.
_SETTLED = """
insert into users (user_id, is_current, handle, handle_lc, name, txhash, created_at, updated_at)
select n, true, 'u' || n, 'u' || n, 'name', '0x' || n, now(), now()
  from generate_series(1, %(users)s) as n;
analyze users;
delete from tidemark.suspect_ranges; delete from tidemark.dirty;
update tidemark.turn set started = true, pass_at = now();
update tidemark.sweeps set requested = false, begun_at = now(), ended_at = now(), phase = null,
                           at = null"""

_DIFFERENT = """
select count(*), count(*) filter (where coalesce(found, 0) <> coalesce(n, 0)) from (
    select a.repost_count as found, t.n from aggregate_user a
      full join (select id, n from truth where kind = 'user') t on t.id = a.user_id
    union all
    select a.repost_count, t.n from aggregate_track a
      full join (select id, n from truth where kind = 'item') t on t.id = a.track_id) c
"""
