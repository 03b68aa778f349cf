"""Rule p: seven steps of a profile, kept in challenge_profile_completion."""

from world import AMPLE_BLOCK, World

FULL = {"handle_lc": "a", "bio": "b", "name": "n", "profile_picture": "p", "cover_photo": "c"}
ROW = "profile_description, profile_name, profile_picture, profile_cover_photo, follows, favorites, reposts"


class Profile(World):
    def steps(self, user=31):
        """The kept steps as 0 and 1; None without a row."""
        rows = self.sql(f"select {ROW} from challenge_profile_completion where user_id = %s", (user,))
        return "".join(str(int(step)) for step in rows[0]) if rows else None

    def full(self, user=31, block=100):
        """All seven: the profile at this block, the fifth follow at +5, a repost at +6, a save at +7."""
        self.user(user, block=block, **FULL)
        for n in range(1, 6):
            self.follow(user, n, block=block + n)
        self.repost(user, 1, block=block + 6)
        self.save(user, 1, block=block + 7)

    def test_a_row_is_written_even_for_nothing(self):
        self.user(31, handle_lc="a")
        self.assertEqual([("p", 31, "1f", False, True)], self.derive(31))
        self.assertEqual({"1f": (31, False, 0, None)}, self.stored("p"))
        self.assertEqual("0000000", self.steps())

    def test_each_field_of_the_profile_is_a_step(self):
        for field, steps in (("bio", "1000000"), ("name", "0100000"), ("profile_picture", "0010000"),
                             ("profile_picture_sizes", "0010000"), ("cover_photo", "0001000"),
                             ("cover_photo_sizes", "0001000")):
            with self.subTest(field):
                self.setUp()
                self.user(31, handle_lc="a", **{field: "x"})
                self.derive(31)
                self.assertEqual((steps, {"1f": (31, False, 1, None)}), (self.steps(), self.stored("p")))

    def test_a_picture_and_its_sizes_are_one_step(self):
        self.user(31, handle_lc="a", profile_picture="p", profile_picture_sizes="s")
        self.derive(31)
        self.assertEqual({"1f": (31, False, 1, None)}, self.stored("p"))

    def test_five_follows_are_a_step_and_four_are_none(self):
        self.user(31, handle_lc="a")
        for n in range(4):
            self.follow(31, n)
        self.follow(31, 5, delete=True)
        self.follow(31, 6, current=False)
        self.follow(7, 31)
        self.derive(31)
        self.assertEqual("0000000", self.steps())
        self.follow(31, 8)
        self.derive(31)
        self.assertEqual("0000100", self.steps())

    def test_one_repost_and_one_save_are_a_step_each_of_whatever_kind(self):
        self.user(31, handle_lc="a")
        self.repost(31, 1, delete=True)
        self.save(31, 1, current=False)
        self.derive(31)
        self.assertEqual("0000000", self.steps())
        self.save(31, 1, kind="album")
        self.derive(31)
        self.assertEqual("0000010", self.steps())
        self.repost(31, 1, kind="playlist")
        self.derive(31)
        self.assertEqual("0000011", self.steps())

    def test_steps_that_are_undone_are_taken_back_before_completion(self):
        self.full()
        self.sql("update users set bio = null")
        self.derive(31)
        self.assertEqual({"1f": (31, False, 6, None)}, self.stored("p"))
        self.sql("update saves set is_delete = true")
        self.derive(31)
        self.assertEqual({"1f": (31, False, 5, None)}, self.stored("p"))
        self.assertEqual("0111101", self.steps())

    def test_it_is_completed_by_the_last_of_the_seven(self):
        for field, wanted in (("users", 900), ("reposts", 900), ("saves", 900), (None, 107)):
            with self.subTest(field):
                self.setUp()
                self.full()
                self.block(900)
                if field:
                    self.sql(f"update {field} set blocknumber = 900")
                self.derive(31)
                self.assertEqual({"1f": (31, True, 7, wanted)}, self.stored("p"))

    def test_the_fifth_follow_completes_it_and_the_sixth_does_not_matter(self):
        self.full()
        self.sql("update follows set blocknumber = null where followee_user_id = 5")
        self.follow(31, 6, block=800)
        self.follow(31, 7, block=900)
        self.derive(31)
        self.assertEqual({"1f": (31, True, 7, 800)}, self.stored("p"))

    def test_without_any_block_it_is_completed_too(self):
        self.full()
        for table in ("users", "follows", "reposts", "saves"):
            self.sql(f"update {table} set blocknumber = null")
        self.derive(31)
        self.assertEqual({"1f": (31, True, 7, None)}, self.stored("p"))

    def test_a_completed_profile_is_frozen_when_the_bio_is_removed(self):
        self.full()
        self.derive(31)
        self.sql("update users set bio = null")
        self.sql("delete from follows")
        self.assertEqual([], self.derive(31))
        self.assertEqual({"1f": (31, True, 7, 107)}, self.stored("p"))
        self.assertEqual("1111111", self.steps())

    def test_an_older_completed_row_is_frozen_without_kept_steps(self):
        self.sql("insert into user_challenges values ('p', 31, '1f', true, 7, 3, 1)")
        self.user(31, handle_lc="a")
        self.assertEqual([], self.derive(31))
        self.assertIsNone(self.steps())

    def test_without_a_handle_or_deactivated_or_not_current_there_is_no_row(self):
        for fields in ({"handle_lc": None}, {"is_deactivated": True}, {"current": False}):
            with self.subTest(fields):
                self.setUp()
                self.user(31, **{**FULL, **fields})
                self.assertEqual([], self.derive(31))
                self.assertIsNone(self.steps())

    def test_a_user_who_was_deactivated_keeps_what_was_reached_and_goes_on_when_back(self):
        self.full()
        self.sql("update users set bio = null")
        self.derive(31)
        self.sql("update users set is_deactivated = true, bio = 'b'")
        self.assertEqual([], self.derive(31))
        self.assertEqual(({"1f": (31, False, 6, None)}, "0111111"), (self.stored("p"), self.steps()))
        self.sql("update users set is_deactivated = false")
        self.derive(31)
        self.assertEqual({"1f": (31, True, 7, 107)}, self.stored("p"))

    def test_a_user_who_left_is_not_completed_by_what_was_kept(self):
        for change in ("is_deactivated = true", "handle_lc = null", "is_current = false"):
            with self.subTest(change):
                self.setUp()
                self.full()
                self.sql("update users set bio = null")
                self.derive(31)
                self.sql(f"update users set {change}; update challenges set step_count = 6 where id = 'p'")
                self.assertEqual([], self.derive(31))

    def test_history_of_the_profile_is_not_read(self):
        self.user(31, current=False, **FULL)
        self.user(31, handle_lc="a", bio="b")
        self.derive(31)
        self.assertEqual({"1f": (31, False, 1, None)}, self.stored("p"))

    def test_the_kept_steps_of_another_writer_are_corrected(self):
        self.user(31, handle_lc="a", bio="b")
        self.insert("challenge_profile_completion", user_id=31, **dict.fromkeys(ROW.split(", "), True))
        self.derive(31)
        self.assertEqual("1000000", self.steps())
        self.assertEqual({"1f": (31, False, 1, None)}, self.stored("p"))

    def test_a_doubled_derivation_writes_no_step(self):
        self.user(31, handle_lc="a", bio="b")
        self.derive(31)
        before = self.sql("select xmin::text, ctid::text from challenge_profile_completion")
        self.assertEqual([], self.derive(31))
        self.assertEqual(before, self.sql("select xmin::text, ctid::text from challenge_profile_completion"))

    def test_the_catalogue_says_how_many_steps_complete_it(self):
        self.user(31, **FULL)
        self.sql("update challenges set step_count = 4 where id = 'p'")
        self.derive(31)
        self.assertEqual({"1f": (31, True, 4, AMPLE_BLOCK)}, self.stored("p"))
