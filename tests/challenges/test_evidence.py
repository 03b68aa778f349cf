"""ops/app/evidence.py tells completed rows that could be earned from those that never were."""

import os

from world import World  # first: it says where ops/app is

import derivation
import evidence
import histories

HISTORIES = int(os.environ.get("TIDEMARK_HISTORIES", "2"))
TABLES = (*derivation.TABLES[:-1], "tracks")
BLOCK = 30_000_000
LENGTH = 80
# One part of each rule's evidence that must be missed when the history never had it.
MISSING = {
    "m": "update user_events set is_mobile_user = false", "r": "update users set is_verified = true where user_id = 1",
    "rv": "update users set is_verified = false where user_id = 2", "rd": "update user_events set referrer = 4",
    "u": "update tracks set is_unlisted = true where track_id = 3", "fp": "update playlists set blocknumber = null",
    "p": "update follows set is_delete = true where followee_user_id = 15", "cs": "delete from remixes"}


class Evidence(World):
    def note(self, found):
        for table in TABLES:
            for row, in self.sql(f"select to_jsonb(t) from {table} t"):
                found.note(table, row)
        return found

    def gathered(self):
        return evidence.Evidence(dict(self.sql("select id, starting_block from challenges")))

    def earn_all(self):
        """Each rule's challenge, once."""
        self.sql("update challenges set active = true, starting_block = 0")
        for user in (1, 2, 3):
            self.user(user, verified=user == 2, block=BLOCK, handle_lc=f"h{user}", bio="b", name="n",
                      profile_picture="p", cover_photo="c")
        self.event(3, referrer=1, mobile=True, block=BLOCK)
        self.event(4, referrer=2, block=BLOCK)
        for track in (1, 2, 3):
            self.track(track, 2, block=BLOCK)
        self.track(9, 3, block=BLOCK)
        self.playlist(1, 2, block=BLOCK)
        self.insert("remixes", parent_track_id=1, child_track_id=9)
        for followee in range(11, 16):
            self.follow(2, followee, block=BLOCK)
        self.repost(2, 9, block=BLOCK)
        self.save(2, 1, block=BLOCK)
        self.derive(1, 2, 3, 4)

    def test_what_was_earned_is_known_and_each_missing_part_is_missed(self):
        for challenge, text in MISSING.items():
            with self.subTest(challenge):
                self.setUp()
                self.earn_all()
                completed = self.sql("select specifier, completed_blocknumber from user_challenges "
                                     "where is_complete and challenge_id = %s order by 1", (challenge,))
                self.assertTrue(completed)
                known = self.note(self.gathered())
                for specifier, block in completed:
                    self.assertTrue(known.has((challenge, specifier), block))
                    self.assertFalse(known.has((challenge, specifier), BLOCK + 1), "another block")
                self.sql(text)
                less = self.note(self.gathered())
                self.assertFalse(all(less.has((challenge, specifier), block) for specifier, block in completed))

    def test_no_random_history_completes_what_it_has_no_evidence_of(self):
        for seed in range(HISTORIES):
            with self.subTest(seed):
                self.setUp()
                self.sql("update challenges set active = true, starting_block = 20")
                found, history, dirty = self.gathered(), histories.History(self, grown=False), set()
                for operation in histories.make(seed, grown=False, length=LENGTH):
                    dirty |= history.apply(operation)
                    if operation[2]:
                        self.note(found)
                        self.derive(*dirty)
                        dirty = set()
                unknown = [row for row in self.sql("select challenge_id, specifier, completed_blocknumber from "
                                                   "user_challenges where is_complete") if not found.has(row[:2], row[2])]
                self.assertEqual([], unknown)
