"""ops/app/announced.py finds each wrong milestone: a check that can't fail proves nothing."""

from world import World  # first: it says where ops/app is

import announced

FOLLOWED, ALBUM = 1, 5

# What Tidemark would have written of the rows in setUp, by hand.
RIGHT = """
insert into milestones (id, name, threshold, blocknumber, slot, timestamp)
values (1, 'FOLLOWER_COUNT', 10, 20, 120, '2024-01-01 00:00:20'),
       (5, 'PLAYLIST_SAVE_COUNT', 10, 20, 120, '2024-01-01 00:00:20');
insert into notification (specifier, group_id, type, blocknumber, timestamp, data, user_ids)
values ('1', 'milestone:FOLLOWER_COUNT:id:1:threshold:10', 'milestone_follower_count', 20, '2024-01-01 00:00:20',
        '{"type": "FOLLOWER_COUNT", "user_id": 1, "threshold": 10}', '{1}'),
       ('7', 'milestone:PLAYLIST_SAVE_COUNT:id:5:threshold:10', 'milestone', 20, '2024-01-01 00:00:20',
        '{"type": "PLAYLIST_SAVE_COUNT", "playlist_id": 5, "is_album": true, "threshold": 10}', '{7}')"""
WRONG = [
    "delete from milestones where name = 'FOLLOWER_COUNT'",
    "delete from notification where type = 'milestone'",
    "update milestones set threshold = 25 where id = 5",
    "update milestones set threshold = 9 where id = 5",
    "update milestones set name = 'PLAYLIST_REPOST_COUNT' where id = 5",
    "update milestones set slot = 119 where id = 1",
    "update milestones set blocknumber = null where id = 1",
    "update milestones set blocknumber = 19, slot = 119, timestamp = '2024-01-01 00:00:19' where id = 1",
    "update notification set data = data || '{\"is_album\": false}' where type = 'milestone'",
    "update notification set user_ids = '{8}', specifier = '8' where type = 'milestone'",
    "update notification set user_ids = '{7,8}' where type = 'milestone'",
    "update notification set slot = 120 where type = 'milestone'",
    "update notification set type = 'milestone' where type = 'milestone_follower_count'",
    "insert into notification (specifier, group_id, type, timestamp, data, user_ids) select specifier, "
    "'milestone:FOLLOWER_COUNT:id:1:threshold:25', type, timestamp, data, user_ids from notification where id = 1",
]


class Announced(World):
    def setUp(self):
        super().setUp()
        self.sql("truncate milestones, aggregate_user")
        self.sql("insert into blocks select 'b' || n, n from generate_series(1, 99) n")
        self.playlist(ALBUM, 7, is_album=True)
        for table, columns, values in (("follows", "follower_user_id, followee_user_id", f"n, {FOLLOWED}"),
                                       ("saves", "user_id, save_item_id, save_type", f"n, {ALBUM}, 'album'")):
            self.sql(f"insert into {table} ({columns}, is_current, is_delete, created_at, txhash, blocknumber, slot) "
                     f"select {values}, true, false, '2024-01-01'::timestamp + n * interval '1 second', 't' || n, n, "
                     "100 + n from generate_series(11, 20) n")
        self.sql(RIGHT)

    def test_what_was_crossed_is_right(self):
        self.assertEqual([], announced.compare(self.session))

    def test_each_wrong_row_is_found(self):
        for text in WRONG:
            with self.subTest(text):
                self.setUp()
                self.sql(text)
                self.assertNotEqual([], announced.compare(self.session))

    def test_an_item_without_an_owner_and_a_distrusted_actor_need_not_be_announced(self):
        for text in ("update playlists set is_current = false",
                     "insert into aggregate_user (user_id, score) values (15, -1)"):
            with self.subTest(text):
                self.setUp()
                self.sql("delete from milestones; delete from notification; delete from follows")
                self.assertNotEqual([], announced.compare(self.session))
                self.sql(text)
                self.assertEqual([], announced.compare(self.session))

    def test_a_count_that_fell_stays_announced_when_the_history_knows_that_it_was_there(self):
        history = announced.History()
        for table in ("playlists", "saves", "follows"):
            columns = [c for c, in self.sql("select column_name from information_schema.columns where table_name = %s",
                                            (table,))]
            for row in self.sql(f"select {', '.join(columns)} from {table} order by blocknumber"):
                history.note(table, None, dict(zip(columns, row)))
        self.sql("delete from follows where follower_user_id < 15")
        self.assertNotEqual([], announced.compare(self.session))
        self.assertEqual([], announced.compare(self.session, history))
        self.assertEqual(10, history.most(("FOLLOWER_COUNT", FOLLOWED)))

    def test_a_row_that_comes_twice_counts_once(self):
        history = announced.History()
        row = {"follower_user_id": 2, "followee_user_id": 1, "txhash": "a", "is_current": True, "is_delete": False,
               "created_at": 5, "blocknumber": 1, "slot": 2}
        history.note("follows", None, row)
        history.note("follows", None, row)
        self.assertEqual(1, history.most(("FOLLOWER_COUNT", 1)))
        history.note("follows", row, row | {"is_delete": True})
        history.note("follows", None, row | {"follower_user_id": 3}, partition=1)
        self.assertEqual(2, history.most(("FOLLOWER_COUNT", 1)), "one after the other, or in the other order")
