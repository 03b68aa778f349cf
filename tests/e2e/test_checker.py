#!/usr/bin/python3
"""The checker finds every wrong cell and no other; the traffic counts exactly what it commits.

Starts a Postgres of its own (needs ops/setup --stack for the server, neither Kafka nor Java). About 30 seconds.
usage: test_checker.py [unittest's arguments]
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import psycopg2

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [REPO, os.path.join(REPO, "ops", "app")]

import checker  # noqa: E402
import traffic  # noqa: E402
from ops.stack.postgres import Postgres  # noqa: E402
from ops.stack.process import wait_until  # noqa: E402

PATIENCE_S = 120       # for a slow machine; past this something is stuck
CHANGES_MIN = 6_000

# A recompute in another form than the checker's: one scalar subquery a cell, so that one mistake is not made twice.
RECOMPUTE = """
delete from aggregate_user; delete from aggregate_track; delete from aggregate_playlist;
insert into aggregate_user (user_id, following_count, follower_count, repost_count, track_save_count, total_track_count,
        track_count, playlist_count, album_count, dominant_genre, dominant_genre_count)
select u,
    (select count(*) from follows where follower_user_id = u and is_current and not is_delete),
    (select count(*) from follows where followee_user_id = u and is_current and not is_delete),
    (select count(*) from reposts where user_id = u and is_current and not is_delete),
    (select count(*) from saves where user_id = u and is_current and not is_delete and save_type = 'track'),
    (select count(*) from tracks where owner_id = u and is_current and not is_delete and is_available and stem_of is null),
    (select count(*) from tracks where owner_id = u and is_current and not is_delete and is_available and stem_of is null
        and not is_unlisted),
    (select count(*) from playlists where playlist_owner_id = u and is_current and not is_delete and not is_private
        and not is_album),
    (select count(*) from playlists where playlist_owner_id = u and is_current and not is_delete and not is_private and is_album),
    (select genre from tracks where owner_id = u and is_current and not is_delete and is_available and stem_of is null
        and not is_unlisted group by genre order by count(*) desc, max(created_at) desc, genre collate "C" nulls last limit 1),
    (select count(*) from tracks where owner_id = u and is_current and not is_delete and is_available and stem_of is null
        and not is_unlisted group by genre order by 1 desc limit 1)
from (select user_id from users union select follower_user_id from follows union select followee_user_id from follows
      union select user_id from reposts union select user_id from saves union select owner_id from tracks
      union select playlist_owner_id from playlists) all_users(u);
insert into aggregate_track (track_id, repost_count, save_count)
select t,
    (select count(*) from reposts where repost_item_id = t and repost_type = 'track' and is_current and not is_delete),
    (select count(*) from saves where save_item_id = t and save_type = 'track' and is_current and not is_delete)
from (select track_id from tracks union select repost_item_id from reposts where repost_type = 'track'
      union select save_item_id from saves where save_type = 'track') all_tracks(t);
insert into aggregate_playlist (playlist_id, is_album, repost_count, save_count)
select p,
    (select is_album from playlists where playlist_id = p and is_current),
    (select count(*) from reposts where repost_item_id = p and repost_type <> 'track' and is_current and not is_delete),
    (select count(*) from saves where save_item_id = p and save_type <> 'track' and is_current and not is_delete)
from (select playlist_id from playlists union select repost_item_id from reposts where repost_type <> 'track'
      union select save_item_id from saves where save_type <> 'track') all_playlists(p)
"""
CELLS = [("aggregate_user", "user_id", column) for column in (
    "following_count", "follower_count", "repost_count", "track_save_count", "total_track_count", "track_count",
    "playlist_count", "album_count")] + [
    (table, key, column) for table, key in (("aggregate_track", "track_id"), ("aggregate_playlist", "playlist_id"))
    for column in ("repost_count", "save_count")]

GENRE = {"dominant_genre", "dominant_genre_count"}

# One change of a source row for each condition of the counters, and the cells that it must make differ.
SOURCE_CHANGES = [
    ("update follows set is_delete = true where {follow}", {"following_count", "follower_count"}),
    ("update follows set is_current = false where {follow}", {"following_count", "follower_count"}),
    ("delete from follows where {follow}", {"following_count", "follower_count"}),
    ("update follows set txhash = 'x' where {follow}", set()),
    ("update reposts set is_delete = true where {repost} and repost_type = 'track'", {"repost_count"}),
    ("update reposts set is_current = false where {repost} and repost_type = 'playlist'", {"repost_count"}),
    ("delete from reposts where {repost} and repost_type = 'album'", {"repost_count"}),
    ("update saves set is_delete = true where {save} and save_type = 'track'", {"track_save_count", "save_count"}),
    ("update saves set is_current = false where {save} and save_type = 'playlist'", {"save_count"}),
    ("update saves set is_delete = true where {save} and save_type = 'album'", {"save_count"}),
    ("update tracks set is_delete = true where {track}", {"track_count", "total_track_count"} | GENRE),
    ("update tracks set is_current = false where {track}", {"track_count", "total_track_count"} | GENRE),
    ("update tracks set is_available = false where {track}", {"track_count", "total_track_count"} | GENRE),
    ("update tracks set stem_of = '{{}}' where {track}", {"track_count", "total_track_count"} | GENRE),
    ("update tracks set is_unlisted = true where {track}", {"track_count"} | GENRE),
    ("update tracks set owner_id = owner_id + 1 where {track}", {"track_count", "total_track_count"} | GENRE),
    ("update tracks set genre = 'Other' where {track}", {"dominant_genre"}),
    ("update tracks set genre = null where {track}", {"dominant_genre"}),
    ("update tracks set blocknumber = null where {track}", set()),
    ("update playlists set is_delete = true where {playlist}", {"playlist_count"}),
    ("update playlists set is_current = false where {playlist}", {"playlist_count"}),
    ("update playlists set is_private = true where {playlist}", {"playlist_count"}),
    ("update playlists set is_album = true where {playlist}", {"playlist_count", "album_count", "is_album"}),
    ("delete from blocks where number = (select max(blocknumber) from follows where is_current and not is_delete)",
     {"follower_count"}),  # by cascade: more cells differ than are shown
]
ACTIVE = "is_current and not is_delete"
FIRST = {
    "follow": f"ctid = (select ctid from follows where {ACTIVE} order by 1 limit 1)",
    "repost": "(user_id, repost_item_id, txhash) in (select distinct on (repost_type) user_id, repost_item_id, txhash "
              f"from reposts where {ACTIVE} order by repost_type, ctid)",
    "save": "(user_id, save_item_id, txhash) in (select distinct on (save_type) user_id, save_item_id, txhash "
            f"from saves where {ACTIVE} order by save_type, ctid)",
    # The only one of its owner: whatever happens to it decides the genre.
    "track": f"{ACTIVE} and track_id = (select min(track_id) from tracks where {ACTIVE} and is_available and stem_of is null "
             "and not is_unlisted group by owner_id having count(*) = 1 and min(genre) <> 'Other' order by 1 limit 1)",
    "playlist": f"ctid = (select ctid from playlists where {ACTIVE} and not is_private and not is_album limit 1)",
}


def await_traffic(run, enough, beside_s=2):
    """For so long, and on a slow machine until it has done enough."""
    run.stopping.wait(beside_s)
    wait_until(lambda: run.stopping.is_set() or enough(run.counts()), PATIENCE_S, f"more traffic: {run.counts()}")


class Database(unittest.TestCase):
    """One server for the file; each class makes a database of its own name."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tidemark-checker-")
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        os.chmod(cls.folder, 0o755)
        cls.server = Postgres(cls.folder, fsync=False)
        cls.server.start()
        cls.addClassCleanup(cls.server.stop, "immediate")
        cls.server.create_database("app")
        cls.server.psql(os.path.join(REPO, "ops", "app", "schema.sql"), "app")
        cls.dsn = cls.server.dsn("app")

    def sql(self, text, parameters=None):
        return self.server.execute(text, parameters, dbname="app")


class Checker(Database):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        run = traffic.Traffic(cls.dsn, traffic.Options(seed=7, seconds=2, changes_min=0, users=400, tracks=300, playlists=120, copies=()))
        run.seed()
        run.start()
        await_traffic(run, lambda counts: counts.changes > CHANGES_MIN)
        run.stop()
        cls.server.execute("vacuum analyze", dbname="app")

    def setUp(self):
        self.sql(RECOMPUTE)

    def test_right_everywhere(self):
        result = checker.check(self.dsn)
        self.assertEqual(0, result.different, result.differences)
        users, tracks, playlists, known = (self.sql(f"select count(*) from {t}")[0][0] for t in (
            "aggregate_user", "aggregate_track", "aggregate_playlist",
            "aggregate_playlist join playlists using (playlist_id) where is_current"))
        self.assertEqual(10 * users + 2 * tracks + 2 * playlists + known, result.checked)

    def test_each_kind_of_cell_wrong_by_one(self):
        for table, key, column in CELLS:
            for by in (1, -1):
                with self.subTest(table=table, column=column, by=by):
                    (id_, was), = self.sql(f"select {key}, {column} from {table} order by {column} desc limit 1")
                    self.sql(f"update {table} set {column} = {column} + %s where {key} = %s", (by, id_))
                    self.assertEqual([checker.Difference(table, id_, column, was, was + by)], checker.check(self.dsn).differences)
                    self.sql(f"update {table} set {column} = %s where {key} = %s", (was, id_))
        self.assertEqual(0, checker.check(self.dsn).different)

    def test_is_album_wrong_and_null(self):
        (id_, was), = self.sql("select a.playlist_id, a.is_album from aggregate_playlist a join playlists p using (playlist_id) "
                               "where p.is_current limit 1")
        for wrong in (not was, None):
            self.sql("update aggregate_playlist set is_album = %s where playlist_id = %s", (wrong, id_))
            result = checker.check(self.dsn)
            self.assertEqual((1, "is_album", id_), (result.different, result.differences[0].column, result.differences[0].key))

    def test_is_album_of_an_unknown_playlist_is_no_cell(self):
        before = checker.check(self.dsn)
        self.sql("insert into aggregate_playlist (playlist_id, is_album) values (777777, null)")
        after = checker.check(self.dsn)
        self.assertEqual((before.checked + 2, 0), (after.checked, after.different))

    def test_dominant_genre_wrong_and_null(self):
        (id_, genre, count), = self.sql("select user_id, dominant_genre, dominant_genre_count from aggregate_user "
                                        "where dominant_genre is not null order by 1 limit 1")
        for column, wrong, was in (("dominant_genre", "'no such genre'", genre), ("dominant_genre", "null", genre),
                                   ("dominant_genre_count", "dominant_genre_count + 1", str(count)),
                                   ("dominant_genre_count", "null", str(count))):
            with self.subTest(column=column, wrong=wrong):
                self.sql(RECOMPUTE)
                self.sql(f"update aggregate_user set {column} = {wrong} where user_id = %s", (id_,))
                self.assertEqual([("aggregate_user", id_, column, was)],
                                 [(d.table, d.key, d.column, d.expected) for d in checker.check(self.dsn).differences])
                self.assertEqual(0, checker.check(self.dsn, recounted=False).different)

    def test_dominant_genre_without_a_track_is_null_and_not_zero(self):
        self.sql("insert into aggregate_user (user_id) values (777777)")
        self.assertEqual([checker.Difference("aggregate_user", 777777, "dominant_genre_count", "null", "0")],
                         checker.check(self.dsn).differences)

    def test_dominant_genre_of_an_absent_row(self):
        (id_,), = self.sql("delete from aggregate_user where user_id = (select min(user_id) from aggregate_user "
                           "where dominant_genre is not null) returning user_id")
        found = {d.column for d in checker.check(self.dsn).differences if d.key == id_}
        self.assertTrue(found >= GENRE, found)

    def test_dominant_genre_ties(self):
        """Most, then the latest, then by bytes, null last: each user's tracks in the order from winner to loser."""
        ties = {900001: [("a", 1), ("a", 1), ("b", 9)], 900002: [("b", 2), ("a", 1)], 900003: [("B", 1), ("a", 1), (None, 1)],
                900004: [(None, 2), ("a", 1)], 900005: [(None, 1), (None, 1), ("a", 9)]}
        for user, tracks in ties.items():
            for number, (genre, day) in enumerate(tracks):
                self.sql("insert into tracks (track_id, owner_id, is_current, is_delete, genre, created_at, updated_at) values "
                         "(%s, %s, true, false, %s, timestamp '2026-01-01' + %s * interval '1 day', now())",
                         (user * 10 + number, user, genre, day))
        self.addCleanup(self.sql, "delete from tracks where owner_id > 900000")
        found = {d.key: d.expected for d in checker.check(self.dsn).differences if d.column == "dominant_genre"}
        self.assertEqual({900001: "a", 900002: "b", 900003: "B"}, found)  # an absent row's null is right for the others
        counts = {d.key: d.expected for d in checker.check(self.dsn).differences if d.column == "dominant_genre_count"}
        self.assertEqual({900001: "2", 900002: "1", 900003: "1", 900004: "1", 900005: "2"}, counts)

    def test_null_and_absent_are_zero(self):
        self.sql("insert into aggregate_user (user_id, follower_count, album_count, dominant_genre_count) "
                 "values (777777, null, null, null)")
        self.sql("update aggregate_user set playlist_count = null where playlist_count = 0")
        self.sql("delete from aggregate_track where repost_count = 0 and save_count = 0")
        self.assertEqual(0, checker.check(self.dsn).different)

    def test_missing_row_and_row_too_many(self):
        (id_, reposts, saves), = self.sql("select track_id, repost_count, save_count from aggregate_track "
                                          "where repost_count > 0 and save_count > 0 limit 1")
        self.sql("delete from aggregate_track where track_id = %s", (id_,))
        self.sql("insert into aggregate_playlist (playlist_id, repost_count) values (888888, 1)")
        self.assertEqual([("aggregate_track", id_, "repost_count", reposts, 0), ("aggregate_track", id_, "save_count", saves, 0),
                          ("aggregate_playlist", 888888, "repost_count", 0, 1)],
                         [(d.table, d.key, d.column, d.expected, d.found) for d in checker.check(self.dsn).differences])

    def test_negative_value(self):
        self.sql("insert into aggregate_user (user_id, follower_count, dominant_genre_count) values (777777, -1, null)")
        self.assertEqual(1, checker.check(self.dsn).different)

    def test_each_condition_on_the_source_rows(self):
        for text, wanted in SOURCE_CHANGES:
            with self.subTest(text):
                self.sql(RECOMPUTE)
                changed = text.format(**FIRST)
                with psycopg2.connect(self.dsn) as connection, connection.cursor() as cursor:
                    cursor.execute(changed)
                    self.assertEqual(1, cursor.rowcount)
                connection.close()
                found = {d.column for d in checker.check(self.dsn).differences}
                self.assertTrue(found >= wanted if "blocks" in text else found == wanted, found)

    def test_one_snapshot(self):
        """What is committed between two of the checker's queries is not seen by the later one."""
        foreign = psycopg2.connect(self.dsn)
        self.addCleanup(foreign.close)
        with foreign.cursor() as cursor:
            cursor.execute("lock table aggregate_playlist in access exclusive mode")
            results = []
            thread = threading.Thread(target=lambda: results.append(checker.check(self.dsn)))
            thread.start()
            waiting = "select pid from pg_stat_activity where application_name = 'checker' and wait_event_type = 'Lock'"
            wait_until(lambda: self.sql(waiting), PATIENCE_S, "the checker waits for the table")
            cursor.execute("insert into aggregate_playlist (playlist_id, repost_count) values (999999, 5)")
            foreign.commit()
        thread.join(PATIENCE_S)
        self.assertEqual(0, results[0].different)
        self.assertEqual(1, checker.check(self.dsn).different)

    def test_command_line(self):
        command = [sys.executable, os.path.join(REPO, "ops", "app", "checker.py"), "--dsn"]
        good = subprocess.run(command + [self.dsn], capture_output=True, text=True, check=False)
        self.assertEqual(0, good.returncode)
        self.assertRegex(good.stdout, r"\Acells checked: [1-9]\d*, cells different: 0\n\Z")
        self.sql("update aggregate_user set follower_count = follower_count + 1")
        bad = subprocess.run(command + [self.dsn], capture_output=True, text=True, check=False)
        lines = bad.stdout.splitlines()
        self.assertEqual((1, 21), (bad.returncode, len(lines)))
        self.assertRegex(lines[0], r"^aggregate_user \d+ follower_count: expected \d+, found \d+$")
        users, = self.sql("select count(*) from aggregate_user")[0]
        self.assertEqual(users, int(re.fullmatch(r"cells checked: \d+, cells different: (\d+)", lines[-1])[1]))
        lost = subprocess.run(command + ["host=127.0.0.1 port=1 dbname=app"], capture_output=True, text=True, check=False)
        self.assertEqual((2, ""), (lost.returncode, lost.stdout))


class EmptyDatabase(Database):
    def test_nothing_checked_is_no_success(self):
        result = checker.check(self.dsn)
        self.assertEqual((0, 0, False), (result.checked, result.different, result.good))


class Traffic(Database):
    def test_counts_what_logical_decoding_sees(self):
        """Each committed change and key change, with COPY, reverts, savepoints and a held transaction, also over a kill -9."""
        self.sql("select pg_create_logical_replication_slot('witness', 'test_decoding')")
        run = traffic.Traffic(self.dsn, traffic.Options(seed=3, seconds=6, changes_min=12_000, users=800))
        run.seed()
        run.start()
        run.hold_open()
        time.sleep(2)
        self.assertTrue(run.release())
        run.hold_open()
        self.server.kill9()
        self.server.start()
        self.assertFalse(run.release())
        run.hold_open()
        await_traffic(run, self.had_enough, beside_s=5)
        run.stop()
        self.assertTrue(run.release())
        counts = run.counts()

        changes, key_changes, deletes = 0, 0, 0
        line = re.compile(r"table public\.(\w+): (INSERT|UPDATE|DELETE): (?:old-key: (.*) new-tuple: )?(.*)", re.S)
        txhash = re.compile(r"txhash\[character varying\]:'([^']*)'")
        for data, in self.sql("select data from pg_logical_slot_get_changes('witness', null, null)"):
            match = line.match(data)
            if not match or match[1] not in ("reposts", "saves", "follows", "user_events", "users", "tracks", "playlists", "remixes"):
                continue
            changes += 1
            deletes += match[2] == "DELETE"
            if match[2] == "UPDATE" and txhash.search(match[4]):
                key_changes += txhash.search(match[3])[1] != txhash.search(match[4])[1]
        if counts.unknown_outcomes == 0:  # a commit whose reply was lost is not counted, but may have happened
            self.assertEqual((changes, key_changes, deletes), (counts.changes, counts.key_changes, counts.hard_deletes))
        self.assertGreaterEqual(changes, counts.changes)
        self.assertTrue(self.had_enough(counts), counts)
        self.assertTrue(all(rows > 1_000 for _, rows in counts.copies), counts.copies)

    @staticmethod
    def had_enough(counts):
        return (counts.changes > 12_000 and {"follows", "reposts", "saves"} == {table for table, _ in counts.copies} and
                all((counts.reverts, counts.reconnects, counts.subtransactions_rolled_back, counts.rolled_back,
                     counts.noop_updates, counts.small_transactions)))


if __name__ == "__main__":
    unittest.main(verbosity=2)
