"""ops/app/derivation.py finds each wrong row: a check that can't fail proves nothing."""

import os
import subprocess
import sys

from world import REPO, World  # first: it says where ops/app is

import derivation

SHARED = [  # wrong after any history
    "delete from user_challenges where challenge_id = 'm'",
    "update user_challenges set is_complete = false, completed_at = null where challenge_id = 'fp'",
    "delete from user_challenges where challenge_id = 'u'",
    "update user_challenges set current_step_count = 2 where challenge_id = 'u'",
    "update user_challenges set completed_at = null where challenge_id = 'm'",
    "update user_challenges set completed_at = now() where challenge_id = 'u'",
    "insert into user_challenges values ('u', 77, '4d', false, 1, null, 1)",
    "insert into user_challenges select 'rv', user_id, specifier, is_complete, 1, completed_blocknumber, 1, now(), "
    "now() from user_challenges where challenge_id = 'r'",
    "insert into user_challenges select 'rd', user_id, 'x', is_complete, 1, completed_blocknumber, 1, now(), now() "
    "from user_challenges where challenge_id = 'rd'",
    "update challenges set step_count = 0 where id = 'r'",
    "delete from challenge_profile_completion",
    "update challenge_profile_completion set favorites = true",
    "delete from notification where type = 'reward_in_cooldown'",
    "delete from notification where type = 'claimable_reward'",
    "delete from notification where type = 'challenge_reward'",
    "update notification set data = data || '{\"amount\": 9}' where type = 'claimable_reward'",
    "update notification set user_ids = '{9}' where type = 'claimable_reward'",
    "update notification set blocknumber = 9 where type = 'reward_in_cooldown'",
    'insert into notification (specifier, group_id, type, "timestamp", user_ids) '
    "select specifier, group_id || 'x', type, \"timestamp\", user_ids from notification "
    "where type = 'reward_in_cooldown'",
]
GROWN = [  # wrong only when the history did but grow
    "update user_challenges set completed_blocknumber = 5 where challenge_id = 'rd'",
    "update user_challenges set amount = 9 where challenge_id = 'rd'",
    "update user_challenges set user_id = 9 where challenge_id = 'rd'",
    "insert into user_challenges values ('m', 77, '4d', true, 1, null, 1, now(), now())",
    "delete from user_events where is_mobile_user",
]


class Derivation(World):
    rewards = True

    def setUp(self):
        super().setUp()
        self.sql("alter table user_challenges enable trigger tidemark_reward_challenge")
        self.sql("update challenges set cooldown_days = 0 where id = 'm'")
        self.user(1, handle_lc="a", bio="b")
        self.event(1, mobile=True)
        self.event(2, referrer=1)
        self.track(1, 1)
        self.playlist(1, 1)
        self.derive(1, 2)

    def test_what_the_rules_wrote_is_right(self):
        for grown in (True, False):
            self.assertEqual([], derivation.compare(self.session, grown=grown))

    def test_each_wrong_row_is_found(self):
        for text in SHARED + GROWN:
            with self.subTest(text):
                self.setUp()
                self.sql("alter table user_challenges disable trigger tidemark_reward_challenge")
                self.sql(text)
                self.assertNotEqual([], derivation.compare(self.session))
                if text in SHARED:
                    self.assertNotEqual([], derivation.compare(self.session, grown=False))

    def test_a_completed_row_that_was_never_true_is_found(self):
        ever = derivation.Ever()
        ever.note(derivation.derive(self.session))
        self.assertEqual([], derivation.compare(self.session, grown=False, ever=ever))
        self.sql("update user_challenges set completed_blocknumber = 5 where challenge_id = 'rd'")
        self.assertIn("user_challenges rd 2:1: was never true with block 5",
                      derivation.compare(self.session, grown=False, ever=ever))

    def test_a_disbursement_that_was_not_told_is_found(self):
        self.sql("insert into reward_manager_txs values ('sig'); "
                 "insert into challenge_disbursements values ('x', 'y', 5, 'sig', 1, '2', now())")
        self.assertEqual([], derivation.compare(self.session))
        self.sql("delete from notification where slot is not null")
        self.assertEqual(1, len(derivation.compare(self.session)))

    def test_the_command_line_says_how_many(self):
        command = [sys.executable, os.path.join(REPO, "ops", "app", "derivation.py"), "--dsn"]
        for dsn, change, wanted in ((self.dsn, "select 1", (0, "differences: 0\n")),
                                    (self.dsn, "delete from user_challenges where challenge_id = 'rd'", (1, None)),
                                    ("host=127.0.0.1 port=1 dbname=app", "select 1", (2, ""))):
            self.sql(change)
            ended = subprocess.run(command + [dsn], capture_output=True, text=True, check=False)
            self.assertEqual(wanted[0], ended.returncode, ended.stderr)
            self.assertEqual(wanted[1] if wanted[1] is not None else ended.stdout, ended.stdout)
