"""Reward notifications: each branch of the triggers, and what holds when sessions meet."""

import datetime
import threading
import time

import psycopg2
from world import INDEXES, REWARDS, World, files, read

AT = datetime.datetime(2024, 5, 1, 12)
HOUR = datetime.timedelta(hours=1)
PATIENCE_S = 120  # for a slow machine


class Rewarding(World):
    rewards = True

    def challenge(self, id_, cooldown):
        self.sql("insert into challenges values (%s, 'numeric', '1', true, 1, 0, null, %s) on conflict (id) do update "
                 "set cooldown_days = excluded.cooldown_days", (id_, cooldown))

    def complete(self, id_, user=31, specifier="1f", at=AT, block=7, amount=2, complete=True):
        self.insert("user_challenges", challenge_id=id_, user_id=user, specifier=specifier, is_complete=complete,
                    completed_blocknumber=block, amount=amount, completed_at=at)

    def tell(self, kind, *users):
        self.insert("notification", specifier=kind, group_id=kind, type=kind, timestamp=AT, user_ids=list(users))

    def notifications(self):
        return self.sql('select type, specifier, group_id, slot, blocknumber, "timestamp", data, user_ids '
                        "from notification order by id")

    def types(self):
        return [row[0] for row in self.notifications()]


class Rewards(Rewarding):
    def test_without_a_cooldown_a_claimable_and_a_challenge_reward_are_told(self):
        for cooldown in (None, 0):
            with self.subTest(cooldown):
                self.setUp()
                self.challenge("x", cooldown)
                self.complete("x")
                self.assertEqual([
                    ("claimable_reward", "1f", "claimable_reward:31:challenge:x:specifier:1f", None, 7, AT,
                     {"specifier": "1f", "challenge_id": "x", "amount": 2}, [31]),
                    ("challenge_reward", "31", "challenge_reward:31:challenge:x:specifier:1f", None, 7, AT,
                     {"specifier": "1f", "challenge_id": "x", "amount": "200000000"}, [31])],
                         self.notifications())

    def test_some_without_a_cooldown_are_not_claimed(self):
        for id_ in ("tt", "tp", "tut", "dvl"):
            with self.subTest(id_):
                self.setUp()
                self.challenge(id_, None)
                self.complete(id_)
                self.assertEqual(["challenge_reward"], self.types())

    def test_the_listen_streak_is_told_with_e(self):
        self.challenge("e", 0)
        self.complete("e")
        self.insert("challenge_listen_streak", user_id=32, listen_streak=9)
        self.complete("e", user=32, specifier="20")
        told = [row[6] for row in self.notifications() if row[0] == "challenge_reward"]
        self.assertEqual([{"specifier": "1f", "challenge_id": "e", "amount": "200000000", "listen_streak": 0},
                          {"specifier": "20", "challenge_id": "e", "amount": "200000000", "listen_streak": 9}], told)

    def test_with_a_cooldown_one_is_told(self):
        self.challenge("x", 7)
        self.complete("x")
        self.assertEqual([("reward_in_cooldown", "1f", "reward_in_cooldown:31:challenge:x:specifier:1f", None, 7, AT,
                           {"specifier": "1f", "challenge_id": "x", "amount": 2}, [31])], self.notifications())

    def test_with_a_cooldown_b_and_s_tell_nothing(self):
        for id_ in ("b", "s"):
            self.challenge(id_, 7)
            self.complete(id_)
        self.assertEqual([], self.notifications())

    def test_a_second_within_the_hour_or_later_is_not_told_and_one_after_the_hour_is(self):
        self.challenge("x", 7)
        self.complete("x", specifier="1")
        self.complete("x", specifier="2", at=AT + HOUR)
        self.complete("x", specifier="3", at=AT - 5 * HOUR)
        self.assertEqual(1, len(self.notifications()))
        self.complete("x", specifier="4", at=AT + HOUR + datetime.timedelta(microseconds=1))
        self.complete("x", user=32, specifier="5")
        self.assertEqual(["1", "4", "5"], [row[1] for row in self.notifications()])

    def test_what_another_kind_or_user_was_told_does_not_matter(self):
        self.challenge("x", 7)
        self.tell("reward_in_cooldown", 32, 33)
        self.tell("claimable_reward", 31)
        self.complete("x")
        self.assertEqual(3, len(self.notifications()))

    def test_a_notification_to_several_counts_for_each(self):
        self.challenge("x", 7)
        self.tell("reward_in_cooldown", 30, 31)
        self.complete("x")
        self.assertEqual(1, len(self.notifications()))

    def test_an_incomplete_row_tells_nothing_until_an_update_completes_it(self):
        self.challenge("x", 0)
        self.complete("x", complete=False, at=None)
        self.assertEqual([], self.notifications())
        self.sql("update user_challenges set is_complete = true, completed_at = %s", (AT,))
        self.assertEqual(2, len(self.notifications()))

    def test_a_completed_row_that_is_written_again_tells_nothing_more(self):
        for cooldown in (0, 7):
            with self.subTest(cooldown):
                self.setUp()
                self.challenge("x", cooldown)
                self.complete("x")
                before = self.notifications()
                self.sql("update user_challenges set amount = 5")
                self.assertEqual(before, self.notifications())

    def test_a_completed_row_without_a_time_gets_this_one(self):
        self.challenge("x", 0)
        self.complete("x", at=None, block=None)
        told = self.notifications()[0]
        self.assertTrue(abs(told[5] - datetime.datetime.utcnow()) < HOUR)
        self.assertIsNone(told[4])

    def test_a_disbursement_is_told_when_the_reward_manager_knows_it(self):
        self.insert("reward_manager_txs", signature="sig")
        for signature in ("other", "sig"):
            self.insert("challenge_disbursements", challenge_id="x", specifier=signature, user_id=31,
                        signature=signature, slot=5, amount="200000000", created_at=AT)
        self.assertEqual([("challenge_reward", "31", "challenge_reward:31:challenge:x:specifier:sig", 5, None, AT,
                           {"specifier": "sig", "challenge_id": "x", "amount": "200000000"}, [31])],
                         self.notifications())

    def disburse(self, specifier, at, user=31):
        self.sql("insert into reward_manager_txs values ('sig') on conflict do nothing")
        self.insert("challenge_disbursements", challenge_id="x", specifier=specifier, user_id=user, signature="sig",
                    slot=5, amount="2", created_at=at)

    def test_a_disbursement_within_the_hour_of_a_reward_or_before_it_is_not_told(self):
        self.challenge("y", 0)
        self.complete("y")
        self.disburse("1", AT + HOUR)
        self.disburse("2", AT - 5 * HOUR)
        self.assertEqual(["claimable_reward", "challenge_reward"], self.types())
        self.disburse("3", AT + HOUR + datetime.timedelta(seconds=1))
        self.disburse("4", AT, user=32)
        self.assertEqual(4, len(self.notifications()))

    def test_a_reward_in_cooldown_does_not_silence_a_disbursement(self):
        self.challenge("y", 7)
        self.complete("y")
        self.disburse("1", AT)
        self.assertEqual(["reward_in_cooldown", "challenge_reward"], self.types())

    def sol(self, wallet, at=AT, index=0):
        self.insert("sol_reward_disbursements", signature="s", instruction_index=index, amount=200_000_000, slot=5,
                    challenge_id="x", specifier="1f", recipient_eth_address=wallet, created_at=at)

    def test_a_disbursement_on_solana_is_told_to_the_user_of_its_wallet_in_either_case(self):
        self.user(30, wallet="0xABCD", current=False)
        self.user(31, wallet="0xAbCd")
        self.sol("0xaBcD")
        self.assertEqual([("challenge_reward", "31", "challenge_reward:31:challenge:x:specifier:1f", 5, None, AT,
                           {"specifier": "1f", "challenge_id": "x", "amount": "200000000"}, [31])],
                         self.notifications())
        self.sol("0xabcd", index=1)
        self.assertEqual(1, len(self.notifications()))

    def test_a_disbursement_on_solana_to_nobodys_wallet_is_told_to_nobody(self):
        self.user(31, wallet=None)
        self.sol("0xabcd")
        self.assertEqual([], self.notifications())

    def test_the_derivers_rows_are_told(self):
        self.user(31, handle_lc="a")
        self.event(31, mobile=True, block=9)
        self.playlist(1, 31)
        self.derive(31)
        self.derive(31)
        self.assertEqual([("reward_in_cooldown", 9, {"specifier": "1f", "challenge_id": "m", "amount": 1})],
                         [(row[0], row[4], row[6]) for row in self.notifications()])

    def test_the_index_that_each_reward_looks_into_has_no_list_that_grows(self):
        """Neither the application's nor one of sql/indexes."""
        options = "select reloptions from pg_class where relname = %s"
        self.assertEqual([(["fastupdate=off"],)], self.sql(options, ("notification_reward_in_cooldown_idx",)))
        for name in ("notification_reward_in_cooldown_idx", "notification_challenge_reward_idx"):
            self.sql(f"drop index if exists {name}")
            self.sql(read(INDEXES, name + ".sql"))
            self.assertEqual([(["fastupdate=off"],)], self.sql(options, (name,)))

    def test_installing_again_changes_nothing(self):
        before = self.sql("select tgname from pg_trigger where tgname like 'tidemark%' order by 1")
        for file in files(REWARDS):
            self.server.postgres.psql(file, self.name)
        self.assertEqual(before, self.sql("select tgname from pg_trigger where tgname like 'tidemark%' order by 1"))
        self.assertEqual(3, len(before))


class Meeting(Rewarding):
    """Two sessions that reward one user at once."""

    def meet(self, first, second):
        """Runs the second while the first's transaction is open; whether it waited for its end."""
        one, two = psycopg2.connect(self.dsn), psycopg2.connect(self.dsn, application_name="second")
        self.addCleanup(one.close)
        self.addCleanup(two.close)
        with one.cursor() as cursor:
            cursor.execute(first)
        done = []

        def run():
            with two, two.cursor() as cursor:
                cursor.execute(second)
            done.append(True)
        thread = threading.Thread(target=run)
        thread.start()
        waited = False
        deadline = time.monotonic() + PATIENCE_S
        while not done and not waited and time.monotonic() < deadline:
            waited = bool(self.sql("select 1 from pg_stat_activity "
                                   "where application_name = 'second' and wait_event = 'advisory'"))
            time.sleep(0.005)
        one.commit()
        thread.join(PATIENCE_S)
        self.assertTrue(done)
        return waited

    @staticmethod
    def row(challenge, user):
        return f"insert into user_challenges values ('{challenge}', {user}, '{user}', true, 1, 1, 1, now(), now())"

    def test_one_payee_gets_one_reward_in_cooldown(self):
        self.assertTrue(self.meet(self.row("m", 31), self.row("fp", 31)))
        self.assertEqual(["reward_in_cooldown"], self.types())

    def test_two_payees_do_not_wait_for_each_other(self):
        self.assertFalse(self.meet(self.row("m", 31), self.row("fp", 32)))
        self.assertEqual(2, len(self.notifications()))

    def test_one_payee_is_told_of_one_disbursement(self):
        self.insert("reward_manager_txs", signature="sig")
        text = "insert into challenge_disbursements values ('x', '{}', 31, 'sig', 5, '2', now())"
        self.assertTrue(self.meet(text.format(1), text.format(2)))
        self.assertEqual(["challenge_reward"], self.types())
