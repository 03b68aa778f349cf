"""Rule cs: a verified artist reposts or saves a remix of a track of their own."""

from world import World

ARTIST, REMIXER = 10, 20
PARENT, REMIX = 1, 2


class Cosign(World):
    def setUp(self):
        super().setUp()
        self.sql("update challenges set active = true where id = 'cs'")
        self.user(ARTIST, verified=True)
        self.track(PARENT, ARTIST)
        self.remix(REMIX)

    def remix(self, id_, parent=PARENT, owner=REMIXER, **fields):
        self.track(id_, owner, **fields)
        self.insert("remixes", parent_track_id=parent, child_track_id=id_)

    def test_a_repost_or_a_save_pays_the_owner_of_the_remix(self):
        for mark in (self.repost, self.save):
            with self.subTest(mark.__name__):
                self.setUp()
                mark(ARTIST, REMIX, block=7)
                self.assertEqual([("cs", REMIXER, "a:2", True, True)], self.derive(ARTIST, rules=("cs",)))
                self.assertEqual({"a:2": (REMIXER, True, 1, 7)}, self.stored("cs"))
                self.assertEqual([(1000,)], self.sql("select amount from user_challenges"))

    def test_both_are_one_cosign_with_the_first_block(self):
        self.save(ARTIST, REMIX, block=None)
        self.save(ARTIST, REMIX, block=9)
        self.repost(ARTIST, REMIX, block=7)
        self.derive(ARTIST)
        self.assertEqual({"a:2": (REMIXER, True, 1, 7)}, self.stored("cs"))

    def test_what_is_no_cosign(self):
        for text in ("update users set is_verified = false", "update users set is_current = false",
                     "update tracks set is_current = false where track_id = 1",
                     "update tracks set is_current = false where track_id = 2",
                     "update tracks set owner_id = 11 where track_id = 1", "delete from remixes",
                     "update reposts set is_delete = true", "update reposts set is_current = false",
                     "update reposts set repost_type = 'playlist'", "update reposts set user_id = 11",
                     "update challenges set active = false"):
            with self.subTest(text):
                self.setUp()
                self.repost(ARTIST, REMIX)
                self.sql(text)
                self.assertEqual([], self.derive(ARTIST, 11, REMIXER, rules=("cs",)))

    def test_deleted_tracks_that_are_current_count(self):
        self.repost(ARTIST, REMIX)
        self.sql("update tracks set is_delete = true")
        self.derive(ARTIST)
        self.assertEqual({"a:2"}, set(self.stored("cs")))

    def test_the_remix_and_the_verification_may_come_after_the_repost(self):
        self.sql("delete from remixes")
        self.sql("update users set is_verified = false")
        self.repost(ARTIST, REMIX)
        self.assertEqual([], self.derive(ARTIST, rules=("cs",)))
        self.insert("remixes", parent_track_id=PARENT, child_track_id=REMIX)
        self.assertEqual([], self.derive(ARTIST, rules=("cs",)))
        self.sql("update users set is_verified = true")
        self.assertEqual([("cs", REMIXER, "a:2", True, True)], self.derive(ARTIST, rules=("cs",)))

    def test_two_parents_of_one_artist_are_one_cosign(self):
        self.track(3, ARTIST)
        self.insert("remixes", parent_track_id=3, child_track_id=REMIX)
        self.repost(ARTIST, REMIX)
        self.derive(ARTIST)
        self.assertEqual({"a:2"}, set(self.stored("cs")))

    def test_the_first_five_by_block_are_paid_in_thirty_days(self):
        for n in range(7):
            self.remix(100 + n)
            self.repost(ARTIST, 100 + n, block=50 - n)
        self.derive(ARTIST)
        self.assertEqual({f"a:{100 + n:x}" for n in (2, 3, 4, 5, 6)}, set(self.stored("cs")))
        self.assertEqual([], self.derive(ARTIST))
        self.sql("update user_challenges set completed_at = completed_at - interval '29 days 23 hours'")
        self.assertEqual([], self.derive(ARTIST))
        self.sql("update user_challenges set completed_at = completed_at - interval '1 hour' where specifier = 'a:66'")
        self.derive(ARTIST)
        self.assertEqual({f"a:{100 + n:x}" for n in (1, 2, 3, 4, 5, 6)}, set(self.stored("cs")))

    def test_the_caps_of_two_artists_are_apart(self):
        """Also of those whose ids begin alike in hex: 10 is a, 161 is a1."""
        self.user(161, verified=True)
        self.track(1000, 161)
        for n in range(6):
            self.remix(100 + n, parent=1000)
            self.repost(161, 100 + n)
        self.derive(161)
        self.repost(ARTIST, REMIX)
        self.derive(ARTIST)
        self.assertEqual(6, len(self.stored("cs")))
        self.assertIn("a:2", self.stored("cs"))

    def test_the_owner_who_was_paid_stays_when_the_remix_goes_to_another(self):
        self.repost(ARTIST, REMIX, block=7)
        self.derive(ARTIST)
        self.sql("update tracks set owner_id = 21 where track_id = 2")
        self.assertEqual([], self.derive(ARTIST))
        self.assertEqual({"a:2": (REMIXER, True, 1, 7)}, self.stored("cs"))
