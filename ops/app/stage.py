"""What the demo plays on: Postgres with the application's tables, Kafka, Connect with Debezium, and two members."""
import glob
import os

from ops.stack import ports, warden
from ops.stack.connect import Connect, debezium_config
from ops.stack.kafka import Kafka
from ops.stack.postgres import Postgres
from ops.stack.process import Process, run

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.join(REPO, "build", "release", "tidemark")
PREFIX = "app"
SLOT = "tidemark"
CONNECTOR = "app"
HEARTBEAT = f"__debezium-heartbeat.{PREFIX}"
TABLES = ("reposts", "saves", "follows", "user_events", "users", "tracks", "playlists", "remixes")
LOGICAL_KEYS = {  # as message keys these make a toggle one update, instead of a delete and a create
    "follows": "follower_user_id,followee_user_id",
    "reposts": "user_id,repost_item_id,repost_type",
    "saves": "user_id,save_item_id,save_type",
    "tracks": "track_id",
    "playlists": "playlist_id",
    "users": "user_id",
}
RUN_ROLE, MIGRATE_ROLE = "tidemark_run", "tidemark_migrate"  # made by sql/roles.sql
MEMBERS = 2
MIGRATE_S_MAX = 120
READY_S_MAX = 90


class DemoFailed(Exception):
    """Says what went wrong, in words for a stranger."""


class Member:
    """One `tidemark run`."""

    def __init__(self, number, folder, config):
        self.number = number
        self.wanted = False  # is it meant to be running?
        self.process = Process(f"member {number}", [BINARY, "run", "--config", config],
                               os.path.join(folder, f"member{number}.log"))

    def start(self):
        self.process.start()
        self.wanted = True

    def kill9(self):
        self.wanted = False
        self.process.kill9()

    def stop(self):
        self.wanted = False
        self.process.stop()

    def check(self):
        if self.wanted and not self.process.running():
            raise DemoFailed(f"member {self.number} ended by itself, with {self.process.exit_code()}.\n"
                             f"{self.process.tail()}")


class Stage:
    """start() makes all of it, in this order; end() ends all of it, the other way round."""

    def __init__(self, folder, say):
        self.folder, self.say = folder, say
        self.postgres = Postgres(folder, fsync=False)  # only processes die here, not the machine
        self.kafka = Kafka(folder)
        self.connect = Connect(folder, self.kafka)
        self.dsn = self.postgres.dsn("app")
        self.members = []

    def start(self):
        if not os.path.exists(BINARY):
            raise DemoFailed(f"there is no {BINARY}: run ops/demo without --no-build")
        self.say("Postgres, Kafka and Connect with Debezium start")
        self.postgres.start()
        self.kafka.start()
        self.connect.start()
        self.say("the application's tables are made; Debezium begins to watch them while they are empty")
        self._make_database()
        self._make_connector()
        self.say(f"tidemark migrate, and {MEMBERS} members start")
        self._start_members()

    def _make_database(self):
        self.postgres.create_database("app")
        self.postgres.psql(os.path.join(REPO, "ops", "app", "schema.sql"), "app")
        self.postgres.psql(os.path.join(REPO, "sql", "roles.sql"), "app")
        for path in sorted(glob.glob(os.path.join(REPO, "sql", "rewards", "*.sql"))):
            self.postgres.psql(path, "app")

    def _make_connector(self):
        for table in TABLES:
            self.kafka.create_topic(f"{PREFIX}.public.{table}")
        keys = ";".join(f"public.{table}:{columns}" for table, columns in LOGICAL_KEYS.items())
        self.connect.create_connector(CONNECTOR, debezium_config(
            self.postgres, "app", [f"public.{table}" for table in TABLES], prefix=PREFIX, slot=SLOT,
            message_key_columns=keys))

    def _start_members(self):
        configs = [self._write_config(number) for number in range(1, MEMBERS + 1)]
        run([BINARY, "migrate", "--config", configs[0], "--run-role", RUN_ROLE], "tidemark migrate", timeout_s=MIGRATE_S_MAX)
        for number, config in enumerate(configs, 1):
            self.members.append(Member(number, self.folder, config))
            self.members[-1].start()

    def _write_config(self, number):
        path = os.path.join(self.folder, f"member{number}.toml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(f"""[kafka]
"bootstrap.servers" = "{self.kafka.bootstrap}"
"group.id" = "tidemark"

[topics]
prefix = "{PREFIX}"

[postgres]
connection = "{self.postgres.dsn("app", RUN_ROLE)}"
migrate_connection = "{self.postgres.dsn("app", MIGRATE_ROLE)}"

[schemas]
path = "{os.path.join(REPO, "schemas")}"

[recount]
slot = "{SLOT}"
every_ms = 5000

[http]
listen = "127.0.0.1:{ports.reserve()}"

[log]
level = "info"
""")
        return path

    # -- asking
    def sql(self, text, parameters=None):
        return self.postgres.execute(text, parameters, dbname="app")

    def is_watched(self, topic):
        return topic.startswith(f"{PREFIX}.public.")

    def end_offsets(self):
        """{(topic, partition): next offset} of the watched topics and of Debezium's heartbeats."""
        topics = [f"{PREFIX}.public.{table}" for table in TABLES] + [HEARTBEAT]
        return {(topic, partition): end for topic in topics for partition, end in self.kafka.end_offsets(topic).items()}

    def applied(self):
        """{(topic, partition): next offset} as Tidemark stored it together with the counters."""
        return {(topic, partition): at for topic, partition, at in
                self.sql("select topic, partition, next_offset from tidemark.progress")}

    def slot_behind(self, lsn):
        """How far the slot is from `lsn`, None once it passed it: then all committed before is in Kafka. A message
        in the log gives the slot something to pass; nobody reads it."""
        self.sql("select pg_logical_emit_message(true, 'demo', 'passed')")
        rows = self.sql("select pg_size_pretty(%s::pg_lsn - confirmed_flush_lsn) from pg_replication_slots "
                        "where slot_name = %s and not coalesce(confirmed_flush_lsn >= %s::pg_lsn, false)", (lsn, SLOT, lsn))
        return f"{rows[0][0]} of the log" if rows else None

    def suspects(self):
        """How many cells wait for their recount, None when none does."""
        (there,), = self.sql("select to_regclass('tidemark.suspects') is not null")
        count = self.sql("select count(*) from tidemark.suspects")[0][0] if there else 0
        return f"{count} suspect cells" if count else None

    def dirty(self):
        """How many users wait to be derived, None when none does and no sweep looks for more."""
        (users, sweeps), = self.sql("select (select count(*) from tidemark.dirty),"
                                    " (select count(*) from tidemark.sweeps where requested or phase is not null)")
        return f"{users} users to derive, {sweeps} sweeps" if users or sweeps else None

    def told(self):
        """What users have been told: completed challenges by id, rewards, milestones."""
        complete = self.sql("select challenge_id, count(*) from user_challenges where is_complete group by 1 order by 1")
        (rewards, milestones), = self.sql(
            "select (select count(*) from notification where type not like 'milestone%'), (select count(*) from milestones)")
        return " ".join(f"{id_} {count}" for id_, count in complete), rewards, milestones

    def check_members(self):
        for member in self.members:
            member.check()

    # -- the end
    def keep(self):
        """Leaves everything running, and says where."""
        warden.keep_all()
        self.say(f"everything is left running in {self.folder}:")
        self.say(f"  psql '{self.dsn}'")
        self.say(f"  Kafka at {self.kafka.bootstrap}, Connect at {self.connect.url}")
        parts = [*self._processes()]
        for process in parts:
            self.say(f"  {process.name}: process {process.pid}, {process.log}")
        self.say(f"  to end it: kill {' '.join(str(p.pid) for p in parts if p.pid)}; rm -rf {self.folder}")

    def end(self):
        """Members drain first, then the stack goes at once: nobody needs its data."""
        for member in self.members:
            member.stop()
        for process in self._processes():
            process.kill9()

    def _processes(self):
        return [*(member.process for member in self.members), self.connect.process, self.kafka.process, self.postgres.process]
