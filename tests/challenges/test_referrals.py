"""Rules r, rv and rd: who brought whom, and who is paid for it."""

from world import World


def done(user, block):
    return (user, True, 1, block)


class Referrals(World):
    def test_the_referral_pays_when_the_referrers_row_was_there_first(self):
        self.user(10)
        self.derive(10)
        self.event(20, referrer=10, block=7)
        self.derive(10, 20)
        self.assertEqual({"a:14": done(10, 7)}, self.stored("r"))
        self.assertEqual({"14:a": done(20, 7)}, self.stored("rd"))

    def test_the_referral_pays_when_the_referrers_row_comes_later_and_keeps_the_events_block(self):
        self.event(20, referrer=10, block=7)
        self.derive(10, 20)
        self.assertEqual(({}, {}), (self.stored("r"), self.stored("rv")))
        self.assertEqual({"14:a": done(20, 7)}, self.stored("rd"))
        self.user(10, block=9)
        self.derive(10)
        self.assertEqual({"a:14": done(10, 7)}, self.stored("r"))

    def test_a_referrer_whose_row_is_not_current_pays_nothing_yet(self):
        self.user(10, current=False)
        self.event(20, referrer=10)
        self.derive(10)
        self.assertEqual({}, self.stored("r"))

    def test_a_verified_referrer_earns_rv(self):
        self.user(10, verified=True)
        self.event(20, referrer=10, block=7)
        self.derive(10)
        self.assertEqual(({}, {"a:14": done(10, 7)}), (self.stored("r"), self.stored("rv")))

    def test_a_pair_earned_before_the_verification_is_not_paid_again(self):
        self.user(10)
        self.event(20, referrer=10, block=7)
        self.derive(10)
        self.sql("update users set is_verified = true")
        self.event(21, referrer=10, block=8)
        self.derive(10)
        self.assertEqual({"a:14": done(10, 7)}, self.stored("r"))
        self.assertEqual({"a:15": done(10, 8)}, self.stored("rv"))

    def test_a_pair_earned_while_verified_is_not_paid_again_after_the_verification_is_withdrawn(self):
        self.user(10, verified=True)
        self.event(20, referrer=10, block=7)
        self.derive(10)
        self.sql("update users set is_verified = false")
        self.event(21, referrer=10, block=8)
        self.derive(10)
        self.assertEqual({"a:14": done(10, 7)}, self.stored("rv"))
        self.assertEqual({"a:15": done(10, 8)}, self.stored("r"))

    def test_a_verification_that_comes_before_the_derivation_decides(self):
        self.user(10)
        self.event(20, referrer=10, block=7)
        self.sql("update users set is_verified = true")
        self.derive(10)
        self.assertEqual(({}, {"a:14": done(10, 7)}), (self.stored("r"), self.stored("rv")))

    def test_the_verification_between_the_two_rules_pays_one_of_them(self):
        self.user(10)
        self.event(20, referrer=10)
        self.derive(10, rules=("r",))
        self.sql("update users set is_verified = true")
        self.derive(10, rules=("rv",))
        self.assertEqual(1, len(self.stored("r")) + len(self.stored("rv")))

    def test_the_sixth_unverified_referral_pays_nothing(self):
        self.user(10)
        for user in range(20, 25):
            self.event(user, referrer=10, block=user)
            self.derive(10)
        self.event(25, referrer=10, block=1)
        self.derive(10)
        self.assertEqual({f"a:{user:x}": done(10, user) for user in range(20, 25)}, self.stored("r"))

    def test_the_cap_takes_the_first_by_block_then_user_and_those_without_a_block_last(self):
        self.user(10)
        for user, block in ((30, None), (29, 9), (28, 9), (27, 5), (26, 8), (25, 7), (24, 6), (31, None)):
            self.event(user, referrer=10, block=block)
        self.derive(10)
        wanted = ((27, 5), (24, 6), (25, 7), (26, 8), (28, 9))
        self.assertEqual({f"a:{user:x}": done(10, block) for user, block in wanted}, self.stored("r"))

    def test_those_without_a_block_fill_the_cap(self):
        self.user(10)
        for user, block in ((30, None), (29, None), (28, 9), (27, 8), (26, 7), (25, 6)):
            self.event(user, referrer=10, block=block)
        self.derive(10)
        self.assertEqual({"a:19", "a:1a", "a:1b", "a:1c", "a:1d"}, set(self.stored("r")))
        self.assertEqual(done(10, None), self.stored("r")["a:1d"])

    def test_rows_of_referrals_that_are_gone_count_against_the_cap(self):
        self.user(10)
        for user in range(20, 25):
            self.event(user, referrer=10)
        self.derive(10)
        self.sql("delete from user_events where user_id = 20")
        self.event(25, referrer=10)
        self.assertEqual([], self.derive(10))

    def test_the_caps_of_r_and_rv_are_apart(self):
        self.user(10)
        for user in range(20, 26):
            self.event(user, referrer=10, block=user)
        self.derive(10)
        self.sql("update users set is_verified = true")
        self.derive(10)
        self.assertEqual((5, {"a:19": done(10, 25)}), (len(self.stored("r")), self.stored("rv")))

    def test_what_was_earned_while_verified_leaves_the_cap_of_r_whole(self):
        self.user(10, verified=True)
        for user in range(20, 23):
            self.event(user, referrer=10)
        self.derive(10)
        self.sql("update users set is_verified = false")
        for user in range(30, 36):
            self.event(user, referrer=10)
        self.derive(10)
        self.assertEqual((3, 5), (len(self.stored("rv")), len(self.stored("r"))))

    def test_the_5000th_verified_referral_pays_and_the_5001st_does_not(self):
        self.user(10, verified=True)
        self.block(1)
        self.sql("insert into user_events (user_id, referrer, is_current, blocknumber) "
                 "select 1000 + n, 10, true, 1 from generate_series(1, 4999) n")
        self.assertEqual(4999, len(self.derive(10)))
        self.event(90_001, referrer=10, block=2)
        self.assertEqual([("rv", 10, f"a:{90_001:x}", True, True)], self.derive(10))
        self.event(90_002, referrer=10, block=3)
        self.assertEqual([], self.derive(10))
        self.assertEqual(5000, len(self.stored("rv")))

    def test_one_derivation_stops_at_the_5000th(self):
        self.user(10, verified=True)
        self.sql("insert into user_events (user_id, referrer, is_current) "
                 "select 1000 + n, 10, true from generate_series(1, 5003) n")
        self.assertEqual(5000, len(self.derive(10)))
        self.assertEqual([], self.derive(10))
        self.assertNotIn(f"a:{6001:x}", self.stored("rv"))

    def test_the_cap_is_read_from_the_catalogue_at_each_derivation(self):
        self.user(10)
        for user in range(20, 26):
            self.event(user, referrer=10)
        self.sql("update challenges set step_count = 2 where id = 'r'")
        self.derive(10)
        self.assertEqual(2, len(self.stored("r")))
        self.sql("update challenges set step_count = 5 where id = 'r'")
        self.derive(10)
        self.assertEqual(5, len(self.stored("r")))

    def test_history_that_is_demoted_pays_once(self):
        """The old row is demoted and a new one inserted, with a referrer or without."""
        self.user(10)
        self.event(20, referrer=10, block=7)
        self.derive(10)
        self.sql("update user_events set is_current = false")
        self.event(20, referrer=10, mobile=True, block=8)
        self.assertEqual([], self.derive(10))
        self.assertEqual({"a:14": done(10, 7)}, self.stored("r"))

    def test_a_demoted_row_alone_pays_nothing(self):
        self.user(10)
        self.event(20, referrer=10, current=False)
        self.assertEqual([], self.derive(10, 20))

    def test_several_current_rows_of_a_pair_are_one_referral_with_the_first_block(self):
        self.user(10)
        self.event(20, referrer=10, block=None)
        self.event(20, referrer=10, block=9)
        self.event(20, referrer=10, block=8)
        self.derive(10)
        self.assertEqual({"a:14": done(10, 8)}, self.stored("r"))

    def test_an_old_row_that_is_incomplete_is_completed(self):
        self.user(10)
        self.event(20, referrer=10, block=7)
        self.sql("insert into user_challenges values ('r', 10, 'a:14', false, 0, null, 1)")
        self.assertEqual([("r", 10, "a:14", True, False)], self.derive(10))
        self.assertEqual({"a:14": done(10, 7)}, self.stored("r"))

    def test_a_deactivated_referrer_is_paid(self):
        self.user(10, is_deactivated=True)
        self.event(20, referrer=10)
        self.derive(10)
        self.assertEqual({"a:14"}, set(self.stored("r")))

    def test_starting_blocks_do_not_matter_to_referrals(self):
        self.user(10, block=1)
        self.event(20, referrer=10, mobile=True, block=1)
        self.derive(10, 20)
        self.assertEqual((1, 1, 1), tuple(len(self.stored(id_)) for id_ in ("r", "rd", "m")))


class Referred(World):
    def test_an_older_row_named_by_the_user_alone_is_the_only_one(self):
        self.sql("insert into user_challenges values ('rd', 20, '14', true, 1, 3, 1)")
        self.event(20, referrer=10)
        self.assertEqual([], self.derive(20))

    def test_another_referrer_later_pays_nothing(self):
        self.event(20, referrer=10, block=7)
        self.derive(20)
        self.sql("update user_events set is_current = false")
        self.event(20, referrer=11, block=8)
        self.assertEqual([], self.derive(20))
        self.assertEqual({"14:a": done(20, 7)}, self.stored("rd"))

    def test_of_several_referrers_the_first_by_block_then_id_counts(self):
        for referrer, block in ((13, None), (12, 8), (11, 7), (10, 7)):
            self.event(20, referrer=referrer, block=block)
        self.derive(20)
        self.assertEqual({"14:b": done(20, 7)}, self.stored("rd"))

    def test_without_a_block_it_pays_too(self):
        self.event(20, referrer=10, block=None)
        self.derive(20)
        self.assertEqual({"14:a": done(20, None)}, self.stored("rd"))

    def test_the_referrer_need_not_have_a_row(self):
        self.event(20, referrer=10)
        self.assertEqual([("rd", 20, "14:a", True, True)], self.derive(20, 10))
