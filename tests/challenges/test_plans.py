"""Plans use their indexes, at a fiftieth of the real scale, closely analyzed, with the planner's settings untouched."""

import json
import os
import re
import statistics

import psycopg2
from world import CHALLENGES, INDEXES, REPO, RULES, World, files, read, write_statement

USERS, EVENTS, TRACKS, PLAYLISTS = 64_000, 46_000, 38_000, 6_000
FOLLOWS, SAVES, REPOSTS, NOTIFICATIONS = 520_000, 200_000, 118_000, 470_000
BLOCKS = 20_000
FIRST_BLOCK = 90_000_000
SMALL = {"challenges"}  # eight rows
BATCH = 1000
FOUND_BY = {"m": "user_events_user_id_idx", "r": "user_events_referrer_idx", "rv": "user_events_referrer_idx",
            "rd": "user_challenges_user_id_idx", "u": "tracks_owner_id_idx", "fp": "playlists_playlist_owner_id_idx",
            "p": "challenge_profile_completion_pkey", "p first": "follows_follower_counted_idx",
            "cs": "user_challenges_cosigner_idx"}
TABLES = "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
RUNS = 7  # the first five of a prepared statement are planned for their values, then it may be one plan for all

ROWS = f"""
set session_replication_role = replica; -- no foreign keys: this is not about writing
insert into blocks select 'b' || n, {FIRST_BLOCK} + n from generate_series(0, {BLOCKS - 1}) n;
insert into users (user_id, is_current, handle_lc, bio, name, profile_picture, cover_photo, is_verified, created_at,
    updated_at, txhash, blocknumber, wallet)
select n, true, 'u' || n, 'b', case when n % 3 = 0 then 'n' end, 'p', 'c', n % 50 = 0, now(), now(), 't' || n,
    {FIRST_BLOCK} + n % {BLOCKS}, '0xW' || n from generate_series(1, {USERS}) n;
insert into users (user_id, is_current, created_at, updated_at, txhash) select n, false, now(), now(), 'old'
from generate_series(1, {USERS // 4}) n;
insert into user_events (user_id, referrer, is_mobile_user, is_current, blocknumber)
select 1 + n % {USERS}, case when n % 10 = 0 then 50 when n % 3 = 0 then 1 + (n * 7) % {USERS} end, n % 2 = 0,
    n % 5 <> 0, {FIRST_BLOCK} + n % {BLOCKS} from generate_series(1, {EVENTS}) n;
insert into tracks (track_id, owner_id, is_current, is_delete, created_at, updated_at, blocknumber, txhash)
select n, 1 + (n * 13) % ({USERS} / 4), true, false, now(), now(), {FIRST_BLOCK} + n % {BLOCKS}, 't'
from generate_series(1, {TRACKS}) n;
insert into playlists (playlist_id, playlist_owner_id, is_album, is_private, is_current, is_delete, created_at,
    blocknumber)
select n, 1 + (n * 11) % {USERS}, false, false, true, false, now(), {FIRST_BLOCK} + n % {BLOCKS}
from generate_series(1, {PLAYLISTS}) n;
insert into remixes select n, n + 1 from generate_series(1, {TRACKS} - 1, 9) n;
insert into follows (follower_user_id, followee_user_id, is_current, is_delete, created_at, txhash, blocknumber)
select 1 + n % {USERS}, 1 + n / {USERS}, true, n % 10 = 0, now(), 't', {FIRST_BLOCK} + n % {BLOCKS}
from generate_series(1, {FOLLOWS}) n;
insert into saves (user_id, save_item_id, save_type, is_current, is_delete, created_at, txhash, blocknumber)
select 1 + n % {USERS}, 1 + (n * 7) % {TRACKS}, 'track', true, n % 10 = 0, now(), n, {FIRST_BLOCK} + n % {BLOCKS}
from generate_series(1, {SAVES}) n;
insert into reposts (user_id, repost_item_id, repost_type, is_current, is_delete, created_at, txhash, blocknumber)
select 1 + n % {USERS}, 1 + (n * 7) % {TRACKS}, 'track', true, n % 10 = 0, now(), n, {FIRST_BLOCK} + n % {BLOCKS}
from generate_series(1, {REPOSTS}) n;
insert into user_challenges (challenge_id, user_id, specifier, is_complete, current_step_count, completed_at)
select c.id, n, case c.id when 'cs' then to_hex(50 * (n % 100)) || ':' || to_hex(n) when 'rd' then to_hex(n) || ':1'
    else to_hex(n) end, c.id = 'cs' or n % 2 = 0, 1, now()
from generate_series(1, {USERS}) n, (values ('m', 3), ('u', 4), ('p', 1), ('rd', 5), ('cs', 20)) c(id, nth)
where n % nth = 0;
insert into challenge_profile_completion select n, true, true, true, true, true, false, true
from generate_series(1, {USERS}, 2) n;
insert into notification (specifier, group_id, type, "timestamp", user_ids)
select n, 'g' || n, (array['follow', 'repost', 'save', 'follow', 'claimable_reward', 'challenge_reward',
    'reward_in_cooldown'])[1 + n % 7], timestamp '2024-01-01' + n * interval '1 minute',
    array[1 + n % {USERS}, 1 + (n * 31) % {USERS}]
from generate_series(1, {NOTIFICATIONS}) n;
reset session_replication_role;
"""


def nodes(plan):
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def whole_reads(plan):
    """Where the plan reads a table or an index from end to end."""
    return [f"{node['Node Type']} on {node.get('Relation Name', node.get('Index Name'))}" for node in nodes(plan)
            if node.get("Relation Name") not in SMALL and (node["Node Type"] == "Seq Scan" or (
                "Index" in node["Node Type"] and node["Node Type"] != "BitmapAnd" and "Index Cond" not in node))]


class Plans(World):
    rewards = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # They are made faster after the rows.
        cls.sql("drop index notification_user_ids_idx, notification_reward_in_cooldown_idx")
        for table, in cls.sql(TABLES):  # nobody else chooses when, and a sample's luck doesn't choose the plan
            cls.sql(f"alter table {table} set (autovacuum_enabled = off)")
        cls.sql(ROWS)
        for file in files(INDEXES):
            cls.sql(read(file))
        cls.sql("update challenges set active = true")
        cls.sql("set default_statistics_target = 2000")
        for table, in cls.sql(TABLES):
            cls.sql(f"vacuum analyze {table}")

    def setUp(self):
        """The rows stay: each test takes back what it writes."""

    def connect(self):
        connection = psycopg2.connect(self.dsn)
        self.addCleanup(connection.close)
        return connection

    def explain(self, cursor, execute):
        cursor.execute("explain (analyze, format json) " + execute)
        return cursor.fetchone()[0][0]

    def plans(self, statement, arguments, generic=False):
        """The plans and times of a prepared statement, run again and again; without triggers, and taken back."""
        connection, found = self.connect(), []
        with connection.cursor() as cursor:
            cursor.execute(f"prepare tried as {statement}")
            cursor.execute("set session_replication_role = replica")
            if generic:
                cursor.execute("set plan_cache_mode = force_generic_plan")
            connection.commit()
            for _ in range(1 if generic else RUNS):
                found.append(self.explain(cursor, f"execute tried ({arguments})"))
                connection.rollback()
        return found

    def check_statement(self, name, statement, more=""):
        for count, first in ((1, 51), (BATCH, 1), (1, 50)):
            users = "{" + ",".join(str(first + n) for n in range(count)) + "}"
            plans = self.plans(statement, f"'{users}'{more}")
            spent = statistics.median(plan["Execution Time"] for plan in plans)
            plans += self.plans(statement, f"'{users}'{more}", generic=True)
            self.assertEqual([], [read for plan in plans for read in whole_reads(plan["Plan"])], f"{name}, {count}")
            for plan in plans:
                self.assertIn(FOUND_BY[name], [node.get("Index Name") for node in nodes(plan["Plan"])])
            print(f"        {name:<8} {count:>4} users from {first}: {spent / count:.3f} ms a user", flush=True)

    def test_each_rule_reads_by_index_alone_and_in_batches(self):
        for rule in RULES:
            if rule == "p":
                self.check_statement("p first", read(CHALLENGES, "p_first.sql"))
            self.check_statement(rule, write_statement(rule), f", '{rule}'")

    def told(self, text):
        """The plans of the statements that triggers run, as auto_explain says them."""
        connection = self.connect()
        with connection.cursor() as cursor:
            cursor.execute("load 'auto_explain'; set auto_explain.log_min_duration = 0; "
                           "set auto_explain.log_nested_statements = on; set auto_explain.log_format = json; "
                           "set client_min_messages = log")
            plans = []
            for _ in range(RUNS):
                del connection.notices[:]
                cursor.execute(text)
                for notice in connection.notices:
                    plans.append(json.loads(notice[notice.index("{"):]))
                cursor.execute("delete from user_challenges where specifier like 'plan%'; "
                               "delete from challenge_disbursements; delete from sol_reward_disbursements")
            connection.rollback()
        return plans

    def check_look_up(self, text, kind):
        look_ups = [plan for plan in self.told(text) if '"timestamp" >=' in plan["Query Text"]]
        self.assertEqual(RUNS, len(look_ups))
        for plan in look_ups:
            self.assertEqual([], whole_reads(plan["Plan"]))
            scans = [node for node in nodes(plan["Plan"]) if node["Node Type"] == "Bitmap Index Scan"]
            self.assertEqual([f"notification_{kind}_idx"], [scan["Index Name"] for scan in scans])
            self.assertIn("user_ids @>", scans[0]["Index Cond"])

    def test_the_reward_triggers_look_their_payees_up_by_index(self):
        self.check_look_up("insert into user_challenges values ('m', 77, 'plan', true, 1, 1, 1, now(), now())",
                           "reward_in_cooldown")
        self.check_look_up("insert into reward_manager_txs values ('plan') on conflict do nothing; "
                           "insert into challenge_disbursements values ('x', 'plan', 77, 'plan', 5, '2', now())",
                           "challenge_reward")

    def test_an_extension_with_a_membership_of_its_own_does_not_take_the_index_away(self):
        self.sql("create extension intarray")
        self.addCleanup(self.sql, "drop extension intarray")
        self.check_look_up("insert into user_challenges values ('m', 77, 'plan', true, 1, 1, 1, now(), now())",
                           "reward_in_cooldown")

    def test_a_disbursement_on_solana_finds_its_user_by_the_wallet(self):
        plans = self.told("insert into sol_reward_disbursements values ('plan', 0, 2, 5, 'x', 'plan', '0xw77', now())")
        users = [plan for plan in plans if "lower(" in plan["Query Text"] and "users" in plan["Query Text"]]
        self.assertEqual(RUNS, len(users))
        for plan in users:
            self.assertEqual([], whole_reads(plan["Plan"]))
            self.assertIn("users_wallet_idx", json.dumps(plan))


class Text(World):
    def test_membership_of_arrays_is_never_asked_in_the_way_that_no_index_serves(self):
        for folder, _, names in os.walk(os.path.join(REPO, "sql")):
            for name in names:
                self.assertIsNone(re.search(r"any\s*\(\s*(\w+\.)?user_ids", read(folder, name), re.I), name)

    def test_rules_name_the_schema_of_each_table(self):
        tables = "|".join(row[0] for row in self.sql(TABLES))
        for rule in RULES + ("p_first", "write"):
            bare = re.sub("--.*", "", read(CHALLENGES, rule + ".sql"))
            self.assertIsNone(re.search(rf"(from|join|into)\s+({tables})\b", bare), rule)
