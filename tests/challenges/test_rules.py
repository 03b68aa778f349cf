"""Rules m, u and fp, and what write.sql does around every rule."""

import datetime

import psycopg2
from world import AMPLE_BLOCK, RULES, Deriver, World, write_statement

U_START, FP_START = 25_346_436, 28_350_000


class Mobile(World):
    def test_installing_the_app_pays_once_with_the_first_block(self):
        self.event(31, mobile=True, block=9)
        self.event(31, mobile=True, block=8)
        self.event(31, mobile=True, block=None)
        self.derive(31)
        self.assertEqual({"1f": (31, True, 1, 8)}, self.stored("m"))

    def test_without_a_block_it_pays_too(self):
        self.event(31, mobile=True, block=None)
        self.derive(31)
        self.assertEqual({"1f": (31, True, 1, None)}, self.stored("m"))

    def test_neither_the_web_nor_history_counts(self):
        self.event(31, mobile=False)
        self.event(31, mobile=True, current=False)
        self.assertEqual([], self.derive(31))

    def test_it_stays_when_the_row_is_demoted_or_reverted(self):
        self.event(31, mobile=True, block=9)
        self.derive(31)
        self.sql("delete from blocks")
        self.assertEqual([], self.derive(31))
        self.assertEqual({"1f": (31, True, 1, 9)}, self.stored("m"))


class Uploads(World):
    def test_steps_are_counted_up_to_the_third_track_which_completes_it_in_block_order(self):
        self.track(1, 31, block=U_START + 5)
        self.derive(31)
        self.assertEqual({"1f": (31, False, 1, None)}, self.stored("u"))
        self.track(2, 31, block=U_START)
        self.derive(31)
        self.assertEqual({"1f": (31, False, 2, None)}, self.stored("u"))
        self.track(3, 31, block=U_START + 9)
        self.track(4, 31, block=U_START + 7)
        self.derive(31)
        self.assertEqual({"1f": (31, True, 3, U_START + 7)}, self.stored("u"))

    def test_what_does_not_count(self):
        for id_, fields in enumerate(({"block": U_START - 1}, {"block": None}, {"is_current": False},
                                      {"is_delete": True}, {"is_unlisted": True},
                                      {"stem_of": '{"parent_track_id": 1}'})):
            with self.subTest(fields):
                self.track(id_, 31, **fields)
                self.assertEqual([], self.derive(31))

    def test_a_track_that_is_not_available_counts(self):
        self.track(1, 31, is_available=False)
        self.assertEqual([("u", 31, "1f", False, True)], self.derive(31))

    def test_the_starting_block_counts_itself(self):
        self.track(1, 31, block=U_START)
        self.assertEqual([("u", 31, "1f", False, True)], self.derive(31))

    def test_a_count_that_falls_is_written_down_to_nothing(self):
        self.track(1, 31)
        self.track(2, 31)
        self.derive(31)
        self.sql("update tracks set is_delete = true where track_id = 1")
        self.derive(31)
        self.assertEqual({"1f": (31, False, 1, None)}, self.stored("u"))
        self.sql("delete from tracks")
        self.derive(31)
        self.assertEqual({"1f": (31, False, 0, None)}, self.stored("u"))
        self.assertEqual([], self.derive(31))

    def test_nothing_from_the_start_is_no_row(self):
        self.assertEqual([], self.derive(31))

    def test_complete_it_stays_when_tracks_go(self):
        for id_ in range(3):
            self.track(id_, 31)
        self.derive(31)
        self.sql("delete from tracks")
        self.assertEqual([], self.derive(31))
        self.assertEqual({"1f": (31, True, 3, AMPLE_BLOCK)}, self.stored("u"))


class FirstPlaylist(World):
    def test_private_ones_and_albums_count_and_the_first_block_stands(self):
        for fields in ({}, {"is_private": True}, {"is_album": True}):
            with self.subTest(fields):
                self.setUp()
                self.playlist(1, 31, block=FP_START + 9, **fields)
                self.playlist(2, 31, block=FP_START, **fields)
                self.derive(31)
                self.assertEqual({"1f": (31, True, 1, FP_START)}, self.stored("fp"))

    def test_what_does_not_count(self):
        for id_, fields in enumerate(({"block": FP_START - 1}, {"block": None}, {"is_current": False},
                                      {"is_delete": True})):
            with self.subTest(fields):
                self.playlist(id_, 31, **fields)
                self.assertEqual([], self.derive(31))


class Writing(World):
    """What holds for every rule."""

    def everything(self):
        """Something for each rule, of users 1 to 3."""
        self.sql("update challenges set active = true")
        self.user(1, handle_lc="a")
        self.user(2, verified=True, handle_lc="b")
        self.event(2, referrer=1, mobile=True)
        self.event(3, referrer=2)
        self.track(1, 2)
        self.track(2, 3)
        self.playlist(1, 1)
        self.insert("remixes", parent_track_id=1, child_track_id=2)
        self.repost(2, 2)

    def test_each_rule_is_seen_here(self):
        self.everything()
        self.assertEqual(set(RULES), {row[0] for row in self.derive(1, 2, 3)})

    def test_a_doubled_derivation_writes_nothing(self):
        self.everything()
        self.derive(1, 2, 3)
        self.sql("create table written as select 0 as n")
        self.addCleanup(self.sql, "drop table written; drop function count_write cascade")
        self.sql("create function count_write() returns trigger language plpgsql as "
                 "$$begin update written set n = n + 1; return null; end$$; "
                 "create trigger count_write after insert or update on user_challenges for each row "
                 "execute function count_write(); "
                 "create trigger count_write after insert or update on challenge_profile_completion for each row "
                 "execute function count_write()")
        rows = "select xmin::text, ctid::text, * from user_challenges order by challenge_id, specifier"
        before = self.sql(rows)
        self.assertEqual([], self.derive(1, 2, 3))
        self.assertEqual([(0,)], self.sql("select n from written"))
        self.assertEqual(before, self.sql(rows))

    def test_an_inactive_or_absent_challenge_writes_nothing_until_it_is_active(self):
        for hide, show in (("update challenges set active = false", "update challenges set active = true"),
                           ("create table kept as select * from challenges; delete from challenges",
                            "insert into challenges select * from kept; drop table kept")):
            with self.subTest(hide):
                self.setUp()
                self.everything()
                self.sql(hide)
                self.assertEqual([], self.derive(1, 2, 3))
                self.assertEqual([(0, 0)], self.sql("select (select count(*) from user_challenges), "
                                                    "(select count(*) from challenge_profile_completion)"))
                self.sql(show)
                self.assertEqual(set(RULES), {row[0] for row in self.derive(1, 2, 3)})

    def test_the_rows_carry_the_catalogues_amount_and_the_transactions_time(self):
        self.everything()
        self.sql("update challenges set amount = '77' where id = 'm'")
        before = datetime.datetime.utcnow()
        self.deriver.connection.cursor().execute("set timezone = 'Asia/Tokyo'")
        self.derive(1, 2, 3)
        self.deriver.connection.cursor().execute("reset timezone")
        amount, at = self.sql("select amount, completed_at from user_challenges where challenge_id = 'm'")[0]
        self.assertEqual(77, amount)
        self.assertTrue(before <= at <= datetime.datetime.utcnow(), at)
        self.assertEqual([(None,)], self.sql("select completed_at from user_challenges "
                                             "where challenge_id = 'u' and user_id = 2"))

    def test_a_completed_row_is_frozen_and_an_incomplete_one_takes_the_new_amount(self):
        self.everything()
        self.derive(1, 2, 3)
        self.sql("update challenges set amount = '77'")
        changed = {(row[0], row[2]) for row in self.derive(1, 2, 3)}
        self.assertEqual({("u", "2"), ("u", "3"), ("p", "1"), ("p", "2")}, changed)
        self.assertEqual([], self.sql("select * from user_challenges where is_complete and amount = 77"))

    def test_one_user_twice_in_the_set_is_one_user(self):
        self.everything()
        with self.deriver.connection.cursor() as cursor:
            for rule in RULES:
                cursor.execute(f"execute derive_{rule} ('{{2,2,1,1}}', '{rule}')")

    def test_no_users_write_nothing(self):
        self.everything()
        self.assertEqual([], self.derive())

    def test_the_service_can_prepare_without_naming_types(self):
        with psycopg2.connect(self.dsn) as connection, connection.cursor() as cursor:
            for rule in RULES:
                cursor.execute(f"prepare plain_{rule} as {write_statement(rule)}")
            cursor.execute("select distinct parameter_types::text from pg_prepared_statements")
            self.assertEqual([("{bigint[],text}",)], cursor.fetchall())
        connection.close()


class Rights(World):
    rewards = True

    def test_the_service_needs_no_more_rights_than_these(self):
        """Those of sql/roles.sql: the rules, and the reward triggers, which run as the writer."""
        Writing.everything(self)
        self.sql("drop role if exists runs; create role runs login; grant usage on schema public to runs; "
                 "grant select on users, user_events, tracks, playlists, remixes, follows, reposts, saves, challenges, "
                 "challenge_listen_streak to runs; "
                 "grant select, insert, update on user_challenges, challenge_profile_completion to runs; "
                 "grant select, insert on notification to runs; grant usage on sequence notification_id_seq to runs")
        self.addCleanup(self.sql, "drop owned by runs; drop role runs")
        deriver = Deriver(self.server.postgres.dsn(self.name, "runs"))
        self.addCleanup(deriver.close)
        self.assertEqual(set(RULES), {row[0] for row in deriver.derive([1, 2, 3])})
        self.assertNotEqual([(0,)], self.sql("select count(*) from notification"))
