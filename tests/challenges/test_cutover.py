"""Taking over: what still counts is found, the switch disables it and its way back enables just that; indexes heal."""

import contextlib
import os
import subprocess

import psycopg2
from world import INDEXES, REPO, World, read

CUTOVER = os.path.join(REPO, "sql", "cutover")
WATCHED = ["public.follows", "public.playlists", "public.reposts", "public.tracks", "public.users", "public.nowhere"]
COUNTS = ["public.aggregate_user", "public.aggregate_track", "public.nowhere"]

APPLICATION = """
create function count_follow() returns trigger language plpgsql as $$
begin
  insert into aggregate_user (user_id) values (new.followee_user_id) on conflict do nothing;
  update aggregate_user set follower_count = follower_count + 1 where user_id = new.followee_user_id;
  return null;
end $$;
create trigger on_follow after insert on follows for each row execute function count_follow();
create function add_repost(item int) returns void language plpgsql as $$
begin update public."aggregate_track" set repost_count = repost_count + 1 where track_id = item; end $$;
create function count_repost() returns trigger language plpgsql as $$
begin perform public.add_repost (new.repost_item_id); return null; end $$;
create trigger on_repost after insert on reposts for each row execute function count_repost();
create function "add.1"() returns void language plpgsql as $$
begin /* one */ update aggregate_track set repost_count = 0 where false; /* two */ end $$;
create function add() returns void language sql as 'select "add.1"()';
create function readd() returns void language sql as '';
create function tell() returns trigger language plpgsql as $$
begin
  perform readd(); -- whose name only ends as that of one that counts
  -- update aggregate_track set repost_count = 1
  insert into notification (specifier, group_id, type, "timestamp", user_ids)
  values (new.track_id, 'track:' || new.track_id, 'track', now(), array[new.owner_id]) on conflict do nothing;
  return null;
end $$;
create trigger on_track after insert on tracks for each row execute function tell();
create function read_score() returns trigger language plpgsql as $$
begin perform score from aggregate_user where user_id = new.user_id; return null; end $$;
create trigger on_user after insert on users for each row execute function read_score();
create function add_indirectly() returns trigger language plpgsql as $$ begin perform add(); return null; end $$;
create trigger on_playlist after insert on playlists for each row execute function add_indirectly();
create trigger on_save after insert on saves for each row execute function count_repost();
create trigger on_repost_off after insert on reposts for each row execute function count_repost();
alter table reposts disable trigger on_repost_off;
create function old_reward() returns trigger language plpgsql as $$
begin
  insert into notification (specifier, group_id, type, "timestamp", user_ids)
  values (new.specifier, 'old:' || new.specifier, 'old', now(), array[new.user_id]) on conflict do nothing;
  return null;
end $$;
create trigger on_user_challenge after insert or update on user_challenges for each row execute function old_reward();
"""
ENABLED = """select tgname from pg_trigger where not tgisinternal and tgenabled <> 'D' order by 1"""


class Cutover(World):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.sql(APPLICATION)

    def setUp(self):
        super().setUp()
        self.sql("truncate aggregate_user, aggregate_track, aggregate_playlist")

    def counting(self):
        with psycopg2.connect(self.dsn) as connection, connection.cursor() as cursor:
            cursor.execute(f"prepare counting as {read(CUTOVER, 'counting_triggers.sql')}")
            cursor.execute("execute counting (%s, %s)", (WATCHED, COUNTS))
            rows = cursor.fetchall()
        connection.close()
        return rows

    def psql(self, name, answer="", **variables):
        command = [f"{self.server.postgres.bin}/psql", "-X", "-d", self.dsn, "-f", f"sql/cutover/{name}"]
        for key, value in variables.items():
            command += ["-v", f"{key}={value}"]
        ended = subprocess.run(command, cwd=REPO, input=answer, capture_output=True, text=True, timeout=180, check=False)
        self.assertEqual(0, ended.returncode, ended.stderr)
        return ended.stdout

    def enabled(self):
        return {name for name, in self.sql(ENABLED)}

    def test_a_trigger_that_counts_is_found_also_through_another_function(self):
        self.assertEqual([("follows", "on_follow", "count_follow", True),
                          ("playlists", "on_playlist", "add_indirectly", True),
                          ("reposts", "on_repost", "count_repost", True),
                          ("users", "on_user", "read_score", False)], self.counting())

    def test_the_switch_and_the_way_back(self):
        application = {"on_follow", "on_playlist", "on_repost", "on_save", "on_track", "on_user", "on_user_challenge"}
        tidemark = {"tidemark_reward_challenge", "tidemark_reward_disbursement", "tidemark_reward_sol_disbursement"}
        self.assertEqual(application, self.enabled())
        self.assertIn("on_follow", self.psql("1_look.sql"))
        self.assertEqual(application, self.enabled())
        for _ in range(2):  # the second time finds it done
            self.psql("3_switch.sql")
            self.assertEqual({"on_track", "on_user"} | tidemark, self.enabled())
        self.assertEqual([("users", "on_user", "read_score", False)], self.counting())
        self.follow(1, 2)
        self.event(31, mobile=True)
        self.derive(31)
        self.assertEqual([(0, 1)], self.sql("select (select count(*) from aggregate_user where user_id = 2), "
                                            "(select count(*) from notification where type = 'reward_in_cooldown')"))
        self.psql("9_back.sql", answer="\n")
        self.assertEqual(application, self.enabled())
        self.follow(3, 2)
        self.assertEqual([(1,)], self.sql("select follower_count from aggregate_user where user_id = 2"))

    def test_counts_beside_the_triggers_are_compared(self):
        self.sql("drop owned by tidemark_run; drop role tidemark_run" if self.sql(
            "select 1 from pg_roles where rolname = 'tidemark_run'") else "select 1")
        self.sql("create role tidemark_run")
        self.addCleanup(self.sql, "drop schema shadow cascade; drop role tidemark_run")
        self.psql("shadow.sql")
        self.psql("shadow.sql")
        self.sql("insert into aggregate_user (user_id, follower_count) values (1, 5), (2, 7), (3, 0), (4, null); "
                 "insert into shadow.aggregate_user (user_id, follower_count) values (1, 5), (2, 8); "
                 "insert into shadow.aggregate_track (track_id, save_count) values (9, 1); "
                 "insert into aggregate_playlist (playlist_id, repost_count) values (1, 2)")
        rows = [line.replace(" ", "") for line in self.psql("compare.sql").splitlines() if "|" in line][1:]
        self.assertEqual(["aggregate_playlist|1|repost_count|2|0", "aggregate_track|9|save_count|0|1",
                          "aggregate_user|2|follower_count|7|8"], rows)

    def test_the_block_of_the_old_job_is_noted_where_nothing_stands(self):
        self.sql("truncate indexing_checkpoints; "
                 "insert into indexing_checkpoints values ('challenges:m:last_blocknumber', 5)")
        self.psql("2_from.sql", block=77)
        self.assertEqual({"challenges:m:last_blocknumber": 5} | {f"challenges:{id_}:last_blocknumber": 77 for id_ in (
            "r", "rv", "rd", "u", "fp", "p")}, dict(self.sql("select * from indexing_checkpoints")))


class Indexes(World):
    NAMES = sorted(name[:-len(".sql")] for name in os.listdir(INDEXES))

    def states(self):
        with psycopg2.connect(self.dsn) as connection, connection.cursor() as cursor:
            cursor.execute("prepare states as " + read(REPO, "sql", "index_states.sql"))
            cursor.execute("execute states (%s)", (self.NAMES,))
            rows = dict(cursor.fetchall())
        connection.close()
        return rows

    def make(self):
        """As `migrate` does."""
        for name, state in self.states().items():
            if state == "invalid":
                self.sql(f"drop index concurrently public.{name}")
            if state in ("absent", "invalid"):
                self.sql(read(INDEXES, name + ".sql"))

    def test_a_file_makes_the_index_of_its_name(self):
        for name in self.NAMES:
            self.sql(f"drop index if exists {name}")
        self.assertEqual({"absent"}, set(self.states().values()))
        self.make()
        self.assertEqual(dict.fromkeys(self.NAMES, "valid"), self.states())
        self.make()

    def test_an_index_whose_building_failed_is_made_anew(self):
        self.make()
        self.sql("drop index user_events_user_id_idx")
        holder = psycopg2.connect(self.dsn)
        self.addCleanup(holder.close)
        with holder.cursor() as cursor:  # an old transaction that its building waits for
            cursor.execute("insert into user_events (user_id, is_current) values (1, true)")
        with contextlib.closing(psycopg2.connect(self.dsn, options="-c lock_timeout=50ms")) as connection:
            connection.autocommit = True
            with self.assertRaises(psycopg2.errors.LockNotAvailable), connection.cursor() as cursor:
                cursor.execute(read(INDEXES, "user_events_user_id_idx.sql"))
        holder.rollback()
        self.assertEqual("invalid", self.states()["user_events_user_id_idx"])
        self.sql(read(INDEXES, "user_events_user_id_idx.sql"))  # alone it doesn't help
        self.assertEqual("invalid", self.states()["user_events_user_id_idx"])
        self.make()
        self.assertEqual("valid", self.states()["user_events_user_id_idx"])

    def test_each_file_is_one_statement_that_locks_nobody_out(self):
        for name in self.NAMES:
            text = read(INDEXES, name + ".sql")
            self.assertRegex(
                text, rf"\A(--.*\n)+create index concurrently if not exists {name}\n  on public\.\w+ .*\n(  .*\n)*\Z")
            self.assertNotRegex(text, r"(?m)^(?!--).*;")
