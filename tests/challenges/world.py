"""A scratch Postgres with the application's tables, short ways to write its rows, and the deriver's statements.

`derive` runs sql/challenges as the deriver does: every rule in DOMAIN's order for a set of users in one transaction,
prepared with parameters, so that plans are the service's.
"""
import os
import shutil
import sys
import tempfile
import unittest

import psycopg2

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [path for path in (REPO, os.path.join(REPO, "ops", "app")) if path not in sys.path]

from ops.stack.postgres import Postgres  # noqa: E402

RULES = ("m", "r", "rv", "rd", "u", "fp", "p", "cs")  # the order of DOMAIN 3
CHALLENGES = os.path.join(REPO, "sql", "challenges")
REWARDS = os.path.join(REPO, "sql", "rewards")
INDEXES = os.path.join(REPO, "sql", "indexes")
AMPLE_BLOCK = 100_000_000  # above every starting_block of the catalogue


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def files(folder):
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".sql")]


def write_statement(rule):
    """The statement that derives a rule; $1 users, $2 the challenge's id."""
    return read(CHALLENGES, "write.sql").replace("{rule}", read(CHALLENGES, rule + ".sql"))


class Server:
    """One server for the process; a database for each class of tests."""

    _shared = None

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="tidemark-challenges-")
        os.chmod(self.folder, 0o755)
        self.postgres = Postgres(self.folder, fsync=False)
        self.postgres.start()
        self._databases = 0

    @classmethod
    def shared(cls):
        if cls._shared is None:
            cls._shared = cls()
        return cls._shared

    @classmethod
    def close(cls):
        if cls._shared is not None:
            cls._shared.postgres.stop("immediate")
            shutil.rmtree(cls._shared.folder, True)
            cls._shared = None

    def database(self):
        """Makes a database with the application's schema; its name."""
        self._databases += 1
        name = f"app{self._databases}"
        self.postgres.create_database(name)
        self.postgres.psql(os.path.join(REPO, "ops", "app", "schema.sql"), name)
        return name


class Deriver:
    """One session that derives as the service does."""

    def __init__(self, dsn):
        self.connection = psycopg2.connect(dsn)
        self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            for rule in RULES:
                cursor.execute(f"prepare derive_{rule} as {write_statement(rule)}")
            cursor.execute("prepare first_p as " + read(CHALLENGES, "p_first.sql"))

    def derive(self, users, rules=RULES, commit=True):
        """All rules for these users in one transaction; rows written: (rule, user, specifier, complete, inserted)."""
        users, rows = sorted(set(users)), []
        with self.connection.cursor() as cursor:
            cursor.execute("begin")
            try:
                for rule in [rule for rule in RULES if rule in rules]:
                    if rule == "p":
                        cursor.execute("execute first_p (%s::bigint[])", (users,))
                    cursor.execute(f"execute derive_{rule} (%s::bigint[], %s)", (users, rule))
                    rows += [(rule, *row) for row in cursor.fetchall()]
                if commit:
                    cursor.execute("commit")
            except psycopg2.Error:
                cursor.execute("rollback")
                raise
        return rows

    def close(self):
        self.connection.close()


class World(unittest.TestCase):
    """Each test begins with empty tables and the catalogue of DOMAIN 3."""

    rewards = False  # whether the reward triggers are there

    @classmethod
    def setUpClass(cls):
        cls.server = Server.shared()
        cls.name = cls.server.database()
        cls.dsn = cls.server.postgres.dsn(cls.name)
        cls.session = psycopg2.connect(cls.dsn)
        cls.session.autocommit = True
        cls.addClassCleanup(cls.session.close)
        if cls.rewards:
            for file in files(REWARDS):
                cls.server.postgres.psql(file, cls.name)
        cls.deriver = Deriver(cls.dsn)
        cls.addClassCleanup(cls.deriver.close)
        cls.catalogue = cls.sql("select * from challenges")

    def setUp(self):
        self.sql("truncate blocks, reposts, saves, follows, user_events, users, tracks, playlists, remixes, "
                 "challenges, user_challenges, challenge_profile_completion, challenge_listen_streak, "
                 "challenge_disbursements, sol_reward_disbursements, reward_manager_txs, notification "
                 "restart identity cascade")
        for row in self.catalogue:
            self.sql("insert into challenges values (%s, %s, %s, %s, %s, %s, %s, %s)", row)
        self._tx = 0

    @classmethod
    def sql(cls, text, parameters=None):
        with cls.session.cursor() as cursor:
            cursor.execute(text, parameters)
            return cursor.fetchall() if cursor.description else []

    def derive(self, *users, rules=RULES):
        return self.deriver.derive(users, rules)

    def stored(self, challenge):
        """specifier -> (user, complete, steps, block) of its rows."""
        return {row[0]: row[1:] for row in self.sql(
            "select specifier, user_id, is_complete, current_step_count, completed_blocknumber from user_challenges "
            "where challenge_id = %s", (challenge,))}

    def insert(self, table, **values):
        columns = ", ".join(values)
        self.sql(f"insert into {table} ({columns}) values ({', '.join(['%s'] * len(values))})", list(values.values()))

    def block(self, number):
        """The number, with its row in blocks; null is none."""
        if number is not None:
            self.sql("insert into blocks values (%s, %s) on conflict do nothing", (f"b{number}", number))
        return number

    def _txhash(self):
        self._tx += 1
        return f"tx{self._tx}"

    def user(self, id_, verified=False, block=AMPLE_BLOCK, current=True, **fields):
        self.insert("users", user_id=id_, is_current=current, is_verified=verified, blocknumber=self.block(block),
                    created_at="2024-01-01", updated_at="2024-01-01", txhash=self._txhash(), **fields)

    def event(self, user, referrer=None, mobile=False, block=AMPLE_BLOCK, current=True):
        self.insert("user_events", user_id=user, referrer=referrer, is_mobile_user=mobile, is_current=current,
                    blocknumber=self.block(block))

    def track(self, id_, owner, block=AMPLE_BLOCK, **fields):
        self.insert("tracks", **{"track_id": id_, "owner_id": owner, "is_current": True, "is_delete": False,
                                 "blocknumber": self.block(block), "created_at": "2024-01-01",
                                 "updated_at": "2024-01-01", "txhash": self._txhash(), **fields})

    def playlist(self, id_, owner, block=AMPLE_BLOCK, **fields):
        self.insert("playlists", **{"playlist_id": id_, "playlist_owner_id": owner, "is_album": False,
                                    "is_private": False, "is_current": True, "is_delete": False,
                                    "blocknumber": self.block(block), "created_at": "2024-01-01",
                                    "txhash": self._txhash(), **fields})

    def follow(self, follower, followee, block=AMPLE_BLOCK, current=True, delete=False):
        self.insert("follows", follower_user_id=follower, followee_user_id=followee, is_current=current,
                    is_delete=delete, blocknumber=self.block(block), created_at="2024-01-01", txhash=self._txhash())

    def repost(self, user, item, kind="track", block=AMPLE_BLOCK, current=True, delete=False):
        self.insert("reposts", user_id=user, repost_item_id=item, repost_type=kind, is_current=current,
                    is_delete=delete, blocknumber=self.block(block), created_at="2024-01-01", txhash=self._txhash())

    def save(self, user, item, kind="track", block=AMPLE_BLOCK, current=True, delete=False):
        self.insert("saves", user_id=user, save_item_id=item, save_type=kind, is_current=current, is_delete=delete,
                    blocknumber=self.block(block), created_at="2024-01-01", txhash=self._txhash())
