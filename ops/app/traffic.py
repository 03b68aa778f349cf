#!/usr/bin/python3
"""Honest traffic of the music network: several writers change the source tables as its running system does.

Toggles in place (the upsert changes txhash, so each is a key change), no-op updates, demote-then-insert history, soft and
hard deletes, chain reverts that delete by cascade, track and playlist changes, transactions over several tables,
subtransactions that roll back, transactions that roll back, COPY of 1,500 rows, and one transaction that the caller holds
open for as long as it likes (hold_open, release). Users and items are skewed, and a few are very hot.

Each writer owns the rows of the actors (tracks, playlists) with id % writers = its number, so that writers meet on cells
and blocks, not on rows. What to do next is read off the database in the statement that does it; so a lost connection or
a commit of unknown outcome needs no repair: reconnect and go on. A seed gives each writer its own sequence of decisions;
their interleaving is the machine's.

usage: traffic.py --dsn DSN [--seed N] [--seconds N] [--changes-min N] ...   see --help
module: traffic = Traffic(dsn, Options(...)); traffic.seed(); traffic.start(); ...; traffic.stop(); traffic.counts()
"""
import argparse
import dataclasses
import io
import random
import sys
import threading
import time

import psycopg2
import psycopg2.errors

from traffic_sql import (ID_COLUMN, PLAYLIST_CHANGES, PLAYLISTS_INSERT, RELATIONS, REMIXES_INSERT, TRACK_CHANGES, TRACKS_INSERT,
                         USER_CHANGES, USER_EVENTS_DEMOTE, USER_EVENTS_INSERT, USERS_INSERT, WATCHED, demote_entity)

BLOCK_FIRST = 30_000_000        # above every challenge's starting_block
BLOCK_OLD = 20_000_000          # below them
BLOCKS_SEEDED = 20
BLOCK_SECONDS = 0.2
REVERT_EVERY_BLOCKS = 12        # the newest block, or one of the latest, is reverted this often
COPY_ROWS = 1_500
SEED_BATCH = 500
HELD_USER_FIRST = 900_001       # actors that only the held transaction uses
RECONNECT_SECONDS_MAX = 120
LIKELY_PAIRS_MAX = 4_000        # remembered pairs per table and writer; a hint of what exists, nothing more
GENRES = ("Electronic", "Hip-Hop/Rap", "Rock", "Ambient", "Jazz", "House", "Techno", "Folk", "Pop", None)

LOST = (psycopg2.OperationalError, psycopg2.InterfaceError)
RACED = (psycopg2.errors.DeadlockDetected, psycopg2.errors.SerializationFailure,
         psycopg2.errors.ForeignKeyViolation)  # a block was reverted under the writer


@dataclasses.dataclass
class Options:
    seed: int = 1
    seconds: float = 30.0
    changes_min: int = 100_000   # paced to reach a fifth more within `seconds`; 0: as fast as it goes
    writers: int = 4
    users: int = 3_000
    tracks: int = 2_000
    playlists: int = 600
    copies: tuple = ("follows", "reposts", "saves")  # one COPY each, spread over the run


@dataclasses.dataclass
class Counts:
    """What is known to be committed, in rows of the watched tables: one change event each (with message.key.columns)."""
    changes: int = 0
    key_changes: int = 0
    hard_deletes: int = 0
    copies: list = dataclasses.field(default_factory=list)  # (table, rows)
    transactions: int = 0
    small_transactions: int = 0     # of at most 5 changes
    noop_updates: int = 0
    subtransactions_rolled_back: int = 0
    rolled_back: int = 0
    reverts: int = 0
    retries: int = 0
    reconnects: int = 0
    unknown_outcomes: int = 0       # commits whose reply was lost: not counted above

    def add(self, other):
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def __str__(self):
        copies = ", ".join(f"{rows} {table}" for table, rows in self.copies) or "none"
        return (f"{self.changes} changes in {self.transactions} transactions ({self.small_transactions} small), "
                f"{self.key_changes} key changes, {self.hard_deletes} hard deletes, {self.noop_updates} no-op updates, "
                f"COPY: {copies}, {self.reverts} chain reverts, {self.subtransactions_rolled_back} savepoints and "
                f"{self.rolled_back} transactions rolled back, {self.retries} retries, {self.reconnects} reconnects, "
                f"{self.unknown_outcomes} unknown outcomes")


class Stopped(Exception):
    """The run ends while a writer waits for its database."""


class Session:
    """One connection that comes back, and transactions that count what they committed."""

    def __init__(self, traffic, name):
        self.traffic, self.name = traffic, name
        self.connection = None

    def _connect(self):
        deadline = time.monotonic() + RECONNECT_SECONDS_MAX
        wait = 0.05
        while True:
            try:
                self.connection = psycopg2.connect(self.traffic.dsn, application_name=f"traffic {self.name}", connect_timeout=5)
                with self.connection.cursor() as cursor:
                    # Batches are joined to tables by index, also before their first ANALYZE.
                    cursor.execute("set enable_hashjoin = off; set enable_mergejoin = off; set jit = off")
                    # Chain reverts meet the writers; a second's wait for each deadlock would hold up the run.
                    cursor.execute("select set_config('deadlock_timeout', '50ms', false) from pg_roles "
                                   "where rolname = current_user and rolsuper")
                self.connection.commit()
                return
            except LOST:
                self.close()
                if self.traffic.stopping.is_set():
                    raise Stopped()
                if time.monotonic() > deadline:
                    raise
                time.sleep(wait)
                wait = min(1.0, wait * 2)

    def close(self):
        if self.connection is not None:
            try:
                self.connection.close()
            except psycopg2.Error:
                pass
            self.connection = None

    def close_unless(self, action):
        try:
            action()
        except psycopg2.Error:
            self.close()

    def run(self, body):
        """Runs body(cursor, counts) as one transaction; a body that returns True is rolled back. False when it is not
        known to have ended so. The same body is not run again blindly: the caller draws its next action afresh."""
        if self.connection is None:
            self._connect()
        counts, committing = Counts(transactions=1), False
        try:
            with self.connection.cursor() as cursor:
                rollback = body(cursor, counts)
            if rollback:
                self.connection.rollback()
                self.traffic.count(Counts(rolled_back=1))
                return True
            committing = True
            self.connection.commit()
            counts.small_transactions = int(0 < counts.changes <= 5)
            self.traffic.count(counts)
            return True
        except RACED:
            self.close_unless(self.connection.rollback)
            self.traffic.count(Counts(retries=1))
            return False
        except psycopg2.Error as error:
            # A server that dies in the middle of a COPY comes as another class than the usual ones.
            if not isinstance(error, LOST) and not self.connection.closed:
                raise
            self.close()
            self.traffic.count(Counts(reconnects=1, unknown_outcomes=int(committing)))
            return False


class Writer:
    """Draws one transaction after another for the actors that it owns."""

    def __init__(self, traffic, number):
        self.traffic, self.number = traffic, number
        options = traffic.options
        self.random = random.Random(options.seed * 1000 + number)
        self.session = Session(traffic, f"writer {number}")
        self.actors = [u for u in range(1, options.users + 1) if u % options.writers == number]
        self.likely = {table: [] for table in RELATIONS}
        self.next_user = self.first_newcomer()
        self.next_track = options.tracks + 1 + (number - options.tracks - 1) % options.writers
        self.next_playlist = options.playlists + 1 + (number - options.playlists - 1) % options.writers
        self.actions = [self.relate, self.toggle, self.several_tables, self.noop, self.history, self.soft_delete, self.hard_delete,
                        self.savepoints, self.rolled_back, self.events, self.profiles, self.owned, self.newcomers]
        self.weights = [24, 30, 10, 5, 9, 3, 2, 4, 2, 4, 3, 5, 2]

    def first_newcomer(self):
        first = self.traffic.options.users + 51  # the 50 ids between act without ever having a users row
        return first + (self.number - first) % self.traffic.options.writers

    # -- drawing
    def skewed(self, n, power=3.0):
        """1..n, the low ones far more often; one in ten is one of three very hot ids."""
        if self.random.random() < 0.1:
            return self.random.randint(1, 3)
        return 1 + int(n * self.random.random() ** power)

    def actor(self):
        if self.random.random() < 0.01:
            number = self.traffic.options.users + 1 + self.random.randrange(50)
            return number if number % self.traffic.options.writers == self.number else self.actors[0]
        return self.actors[int(len(self.actors) * self.random.random() ** 2)]

    def size(self):
        """Most transactions are small; most rows come in batches."""
        draw = self.random.random()
        return self.random.randint(1, 4) if draw < 0.6 else self.random.randint(20, 60) if draw < 0.88 else self.random.randint(80, 200)

    def txhash(self):
        return "0x%032x" % self.random.getrandbits(128)

    def pair(self, table):
        options, actor = self.traffic.options, self.actor()
        if table == "follows":
            item = self.skewed(options.users)
            return (actor, item if item != actor else item + 1, None)
        if self.random.random() < 0.7:
            return (actor, self.skewed(options.tracks + 30), "track")
        item = self.skewed(options.playlists + 60)  # some come into being later, or never
        kind = "album" if item % 3 == 0 else "playlist"
        if self.random.random() < 0.1:
            kind = "album" if kind == "playlist" else "playlist"
        return (actor, item, kind)

    def fresh(self, table, n):
        return {self.pair(table) for _ in range(n)}

    def known(self, table, n):
        pairs = self.likely[table]
        return set(self.random.choices(pairs, k=n)) if pairs else self.fresh(table, n)

    def remember(self, table, pairs):
        likely = self.likely[table]
        for pair in pairs:
            if len(likely) < LIKELY_PAIRS_MAX:
                likely.append(pair)
            else:
                likely[self.random.randrange(LIKELY_PAIRS_MAX)] = pair

    def where(self):
        """The block that a transaction belongs to: mostly the head, sometimes a late one or none at all."""
        head = self.traffic.head
        draw = self.random.random()
        block = None if draw < 0.04 else head if draw < 0.9 else max(BLOCK_FIRST, head - self.random.randint(1, 3))
        return {"block": block, "blockhash": block and f"0xblock{block}", "slot": 100_000_000 + head - BLOCK_FIRST}

    def parameters(self, pairs):
        rows = sorted(pairs, key=lambda p: (p[0], p[1], p[2] or ""))
        return dict(self.where(), actors=[r[0] for r in rows], items=[r[1] for r in rows], kinds=[r[2] for r in rows],
                    hashes=[self.txhash() for _ in rows])

    def table(self):
        return self.random.choices(("follows", "reposts", "saves"), weights=(4, 3, 3))[0]

    # -- statements
    def put(self, cursor, counts, table, pairs):
        """Half of the writer's upsert: the pairs that have no current row get one."""
        cursor.execute(RELATIONS[table].insert, self.parameters(pairs))
        counts.changes += cursor.rowcount
        self.remember(table, pairs)

    def flip(self, cursor, counts, table, pairs):
        """The other half: the pairs that have one are toggled under a new txhash, each a key change."""
        cursor.execute(RELATIONS[table].toggle, self.parameters(pairs))
        counts.changes += cursor.rowcount
        counts.key_changes += cursor.rowcount

    # -- actions, each one transaction
    def relate(self, cursor, counts):
        table = self.table()
        self.put(cursor, counts, table, self.fresh(table, self.size()))

    def toggle(self, cursor, counts):
        table = self.table()
        self.flip(cursor, counts, table, self.known(table, self.size()))

    def several_tables(self, cursor, counts):
        n = max(1, self.size() // 3)
        for table in ("follows", "reposts", "saves"):
            self.put(cursor, counts, table, self.fresh(table, n))
            self.flip(cursor, counts, table, self.known(table, n))

    def noop(self, cursor, counts):
        table = self.table()
        cursor.execute(RELATIONS[table].noop, self.parameters(self.known(table, self.size())))
        counts.changes += cursor.rowcount
        counts.noop_updates += cursor.rowcount

    def history(self, cursor, counts):
        table = self.table()
        cursor.execute(RELATIONS[table].demote, self.parameters(self.known(table, self.size())))
        counts.changes += 2 * cursor.rowcount

    def soft_delete(self, cursor, counts):
        table = self.table()
        cursor.execute(RELATIONS[table].soft_delete, self.parameters(self.known(table, self.size())))
        counts.changes += cursor.rowcount

    def hard_delete(self, cursor, counts):
        table = self.table()
        cursor.execute(RELATIONS[table].hard_delete, self.parameters(self.known(table, self.random.randint(1, 5))))
        counts.changes += cursor.rowcount
        counts.hard_deletes += cursor.rowcount

    def savepoints(self, cursor, counts):
        """One subtransaction stays, one goes, and the rows around them are written by the top-level transaction."""
        table, other = self.table(), self.table()
        self.put(cursor, counts, table, self.fresh(table, self.size()))
        cursor.execute("savepoint kept")
        self.flip(cursor, counts, table, self.known(table, 5))
        cursor.execute("release savepoint kept; savepoint dropped")
        self.flip(cursor, Counts(), other, self.known(other, 10))
        self.put(cursor, Counts(), other, self.fresh(other, 10))
        cursor.execute("rollback to savepoint dropped")
        counts.subtransactions_rolled_back += 1
        self.flip(cursor, counts, other, self.known(other, 5))

    def rolled_back(self, cursor, counts):
        table = self.table()
        self.put(cursor, counts, table, self.fresh(table, self.size()))
        self.flip(cursor, counts, table, self.known(table, 10))
        return True

    def events(self, cursor, counts):
        ids = sorted({self.actor() for _ in range(self.random.randint(1, 20))})
        referrers = [self.skewed(self.traffic.options.users) if self.random.random() < 0.4 else 0 for _ in ids]
        parameters = dict(self.where(), ids=ids, referrers=referrers)
        if self.random.random() < 0.5:
            cursor.execute(USER_EVENTS_DEMOTE, parameters)
            counts.changes += 2 * cursor.rowcount
        cursor.execute(USER_EVENTS_INSERT, parameters)
        counts.changes += cursor.rowcount

    def change_entities(self, cursor, counts, table, ids, sets):
        """A third each: in place, in place with a new txhash (a key change), demote-then-insert."""
        options = self.traffic.options
        parameters = dict(self.where(), ids=ids, owner=self.skewed(options.users), genre=self.random.choice(GENRES))
        column, draw = ID_COLUMN[table], self.random.random()
        if draw < 0.33:
            cursor.execute(demote_entity(table), parameters)
            counts.changes += 2 * cursor.rowcount
            return
        change = self.random.choice(sets)
        rekey = draw < 0.66
        if rekey:
            change += ", blocknumber = %(block)s, txhash = left(md5(txhash || %(slot)s), 20)"
        cursor.execute(f"update {table} set {change} where {column} = any(%(ids)s) and is_current", parameters)
        counts.changes += cursor.rowcount
        counts.key_changes += cursor.rowcount if rekey else 0

    def own_ids(self, n, draws):
        """Ids of 1..n that this writer owns."""
        writers = self.traffic.options.writers
        ids = (self.skewed(n, 1.5) for _ in range(draws))
        return sorted({own for own in (i - (i - self.number) % writers for i in ids) if own > 0})

    def profiles(self, cursor, counts):
        ids = sorted({self.actor() for _ in range(self.random.randint(1, 8))})
        self.change_entities(cursor, counts, "users", ids, USER_CHANGES)

    def owned(self, cursor, counts):
        options = self.traffic.options
        if self.random.random() < 0.6:
            self.change_entities(cursor, counts, "tracks", self.own_ids(options.tracks, self.random.randint(1, 10)), TRACK_CHANGES)
        else:
            self.change_entities(cursor, counts, "playlists", self.own_ids(options.playlists, self.random.randint(1, 6)),
                                 PLAYLIST_CHANGES)
        if self.random.random() < 0.03:  # takes a whole row away, with its history
            cursor.execute("delete from tracks where track_id = any(%s)", (self.own_ids(options.tracks, 1),))
            counts.changes += cursor.rowcount
            counts.hard_deletes += cursor.rowcount

    def newcomers(self, cursor, counts):
        writers, options, where = self.traffic.options.writers, self.traffic.options, self.where()
        for sql, name, n in ((USERS_INSERT, "next_user", 2), (TRACKS_INSERT, "next_track", 3), (PLAYLISTS_INSERT, "next_playlist", 1)):
            ids = [getattr(self, name) + i * writers for i in range(n)]
            setattr(self, name, ids[-1] + writers)
            parameters = dict(where, ids=ids, owners=[self.skewed(options.users) for _ in ids],
                              genres=[self.random.choice(GENRES) for _ in ids], hashes=[self.txhash() for _ in ids])
            for statement in (sql, REMIXES_INSERT) if sql is TRACKS_INSERT else (sql,):
                cursor.execute(statement, parameters)
                counts.changes += cursor.rowcount

    def copy(self, table):
        """COPY of more than 1,000 new rows; True once it is known to be committed."""
        relation = RELATIONS[table]

        def body(cursor, counts):
            wanted = self.fresh(table, 2 * COPY_ROWS)
            while len(wanted) < COPY_ROWS + 500:
                wanted |= self.fresh(table, COPY_ROWS)
            cursor.execute(relation.absent, self.parameters(wanted))
            pairs = sorted(cursor.fetchall())
            self.random.shuffle(pairs)
            pairs = pairs[:COPY_ROWS]
            if len(pairs) <= 1_000:
                raise RuntimeError(f"only {len(pairs)} new {table} left for a COPY: give it more --users or --tracks")
            where = self.where()
            lines = io.StringIO()
            for pair in pairs:
                cells = [*pair, "t", "f", "2024-05-01 12:00:00", self.txhash(),
                         where["block"] or "\\N", where["blockhash"] or "\\N", where["slot"]]
                lines.write("\t".join(map(str, cells)) + "\n")
            lines.seek(0)
            columns = ", ".join(relation.columns)
            cursor.copy_expert(f"copy {table} ({columns}, is_current, is_delete, created_at, txhash, blocknumber, blockhash, slot) "
                               "from stdin", lines)
            counts.changes += cursor.rowcount
            counts.copies.append((table, cursor.rowcount))
            self.remember(table, [pair if len(pair) == 3 else (*pair, None) for pair in pairs[:500]])

        return self.session.run(body)

    def loop(self):
        while not self.traffic.stopping.is_set():
            table = self.traffic.take_copy()
            if table:
                while not self.copy(table) and not self.traffic.stopping.is_set():
                    pass
            elif self.traffic.ahead():
                time.sleep(0.003)
            else:
                self.session.run(self.random.choices(self.actions, weights=self.weights)[0])
        self.session.close()


class Chain:
    """Adds blocks, and now and then takes one back with everything that it wrote."""

    def __init__(self, traffic):
        self.traffic = traffic
        self.random = random.Random(traffic.options.seed * 1000 + 999)
        self.session = Session(traffic, "chain")
        self.since_revert = 0

    def add(self, cursor, counts):
        cursor.execute("insert into blocks (blockhash, number) select %s, max(number) + 1 from blocks returning number",
                       ("0x%032x" % self.random.getrandbits(128),))
        self.head = cursor.fetchone()[0]

    def revert(self, cursor, counts):
        """`on delete cascade` does the work; Postgres's own per-transaction statistics count it."""
        cursor.execute("select max(number) from blocks where number > %s", (BLOCK_FIRST + BLOCKS_SEEDED,))
        newest = cursor.fetchone()[0]
        if newest is None:
            return
        victim = newest if self.random.random() < 0.7 else max(BLOCK_FIRST + BLOCKS_SEEDED + 1, newest - self.random.randint(1, 20))
        if victim == newest:
            self.traffic.head = newest - 1  # writers turn to its parent
            time.sleep(0.03)
        cursor.execute("delete from blocks where number = %s", (victim,))
        cursor.execute("select coalesce(sum(n_tup_del), 0) from pg_stat_xact_user_tables where relname = any(%s)", (list(WATCHED),))
        deleted = int(cursor.fetchone()[0])
        counts.changes += deleted
        counts.hard_deletes += deleted
        counts.reverts += 1

    def loop(self):
        while not self.traffic.stopping.wait(BLOCK_SECONDS):
            self.since_revert += 1
            if self.since_revert >= REVERT_EVERY_BLOCKS:
                if self.session.run(self.revert):
                    self.since_revert = 0
            if self.session.run(self.add):
                self.traffic.head = self.head
        self.session.close()


class Traffic:
    def __init__(self, dsn, options=None):
        self.dsn, self.options = dsn, options or Options()
        self.stopping = threading.Event()
        self.head = BLOCK_FIRST + BLOCKS_SEEDED
        self.failure = None          # first exception that ended a writer
        self._lock = threading.Lock()
        self._counts = Counts()
        self._threads = []
        self._copies = []            # (due, table)
        self._held = None            # (session, counts of the open transaction)
        self._held_random = random.Random(self.options.seed * 1000 + 998)
        self._started = None
        self._changes_seeded = 0

    # -- counting and pacing
    def count(self, counts):
        with self._lock:
            self._counts.add(counts)

    def counts(self):
        """A copy of what is committed so far."""
        with self._lock:
            return dataclasses.replace(self._counts, copies=list(self._counts.copies))

    def ahead(self):
        """Is more done than the pace asks for? It asks for a fifth more than the minimum, evenly over the run."""
        options = self.options
        if not options.changes_min:
            return False
        elapsed = time.monotonic() - self._started
        return self._counts.changes - self._changes_seeded > 1.2 * options.changes_min * elapsed / options.seconds

    def take_copy(self):
        with self._lock:
            if self._copies and time.monotonic() >= self._copies[0][0]:
                return self._copies.pop(0)[1]
        return None

    # -- the run
    def seed(self):
        """Blocks, users, tracks, playlists, first user_events. Call once, on empty tables."""
        options, session, draw = self.options, Session(self, "seed"), random.Random(self.options.seed)
        hashes = lambda ids: ["0x%032x" % draw.getrandbits(128) for _ in ids]

        def blocks(cursor, counts):
            cursor.execute("insert into blocks select '0xseed' || n, n from unnest(%s) n",
                           ([BLOCK_OLD] + list(range(BLOCK_FIRST, BLOCK_FIRST + BLOCKS_SEEDED + 1)),))

        def batch(statements, ids):
            def body(cursor, counts):
                parameters = {
                    "ids": ids, "hashes": hashes(ids), "slot": 1,
                    "owners": [1 + int(options.users * draw.random() ** 2) for _ in ids],
                    "genres": [draw.choice(GENRES) for _ in ids],
                    "referrers": [draw.randint(1, options.users) if draw.random() < 0.1 else 0 for _ in ids],
                    "block": BLOCK_OLD if draw.random() < 0.1 else BLOCK_FIRST + draw.randrange(BLOCKS_SEEDED)}
                for statement in statements:
                    cursor.execute(statement, parameters)
                    counts.changes += cursor.rowcount
            return body

        bodies = [blocks]
        held = list(range(HELD_USER_FIRST, HELD_USER_FIRST + 40))
        for statements, ids in (((USERS_INSERT, USER_EVENTS_INSERT), list(range(1, options.users + 1)) + held),
                                ((TRACKS_INSERT, REMIXES_INSERT), list(range(1, options.tracks + 1))),
                                ((PLAYLISTS_INSERT,), list(range(1, options.playlists + 1)))):
            bodies += [batch(statements, ids[at:at + SEED_BATCH]) for at in range(0, len(ids), SEED_BATCH)]
        for body in bodies:
            while not session.run(body):
                pass
        session.run(lambda cursor, counts: cursor.execute("analyze " + ", ".join(WATCHED)))
        session.close()

    def start(self):
        """Starts the writers; returns at once. Call seed() before."""
        self._started = time.monotonic()
        self._changes_seeded = self._counts.changes
        step = self.options.seconds / (len(self.options.copies) + 1)
        self._copies = [(self._started + step * (i + 1), table) for i, table in enumerate(self.options.copies)]
        for worker in self.workers():
            thread = threading.Thread(target=self._guard, args=(worker,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def workers(self):
        return [Writer(self, n) for n in range(self.options.writers)] + [Chain(self)]

    def _guard(self, worker):
        try:
            worker.loop()
        except Stopped:
            pass
        except Exception as error:  # the caller sees it in `failure`; the other writers stop too
            self.failure = self.failure or error
            self.stopping.set()

    def stop(self):
        """Ends the writers, each after its transaction. Raises what ended one of them early. A held transaction stays."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(timeout=60)
            if thread.is_alive():
                raise RuntimeError("a writer does not end: it waits for a lock, or for its database")
        if self.failure:
            raise self.failure

    # -- the transaction that the caller holds open
    def hold_open(self):
        """Begins a transaction, writes into it (early LSNs, hot cells, a subtransaction) and leaves it open."""
        if self._held:
            raise RuntimeError("one transaction is already held open")
        session, counts = Session(self, "held open"), Counts(transactions=1)
        session._connect()
        self._held = (session, counts)
        with session.connection.cursor() as cursor:
            self._write_held(cursor, counts, range(0, 20))
            cursor.execute("savepoint held")
            self._write_held(cursor, counts, range(20, 30))
            cursor.execute("release savepoint held")

    def release(self):
        """Writes some more, commits it, and says whether it is known to be committed (False: the connection was lost)."""
        (session, counts), self._held = self._held, None
        committing = False
        try:
            with session.connection.cursor() as cursor:
                self._write_held(cursor, counts, range(30, 40))
            committing = True
            session.connection.commit()
            self.count(counts)
            return True
        except LOST:
            self.count(Counts(reconnects=1, unknown_outcomes=int(committing)))
            return False
        finally:
            session.close()

    def _write_held(self, cursor, counts, numbers):
        """Items are the hot ones; the actors are nobody else's, so no writer waits."""
        for table, relation in RELATIONS.items():
            kinds = ("track", "playlist", "album") if relation.kind else (None,)
            pairs = [(HELD_USER_FIRST + n, item, kind) for n in numbers for item in (1, 2, 3) for kind in kinds]
            for statement, some in ((relation.insert, pairs), (relation.toggle, pairs[::3])):
                cursor.execute(statement, {
                    "actors": [p[0] for p in some], "items": [p[1] for p in some], "kinds": [p[2] for p in some],
                    "hashes": ["0x%032x" % self._held_random.getrandbits(128) for _ in some], "block": BLOCK_FIRST, "blockhash": None, "slot": 1})
                counts.changes += cursor.rowcount
                counts.key_changes += cursor.rowcount if statement is relation.toggle else 0


def main():
    defaults = Options()
    parser = argparse.ArgumentParser(description="Seeded traffic on the music network's tables (which must be empty).")
    parser.add_argument("--dsn", required=True, help="libpq connection string of the application's database")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--seconds", type=float, default=defaults.seconds)
    parser.add_argument("--changes-min", type=int, default=defaults.changes_min,
                        help="paces the run to a fifth above this, and fails below it; 0: as fast as it goes")
    parser.add_argument("--writers", type=int, default=defaults.writers)
    parser.add_argument("--users", type=int, default=defaults.users)
    parser.add_argument("--tracks", type=int, default=defaults.tracks)
    parser.add_argument("--playlists", type=int, default=defaults.playlists)
    arguments = vars(parser.parse_args())
    traffic = Traffic(arguments.pop("dsn"), Options(**arguments))
    traffic.seed()
    traffic.start()
    ends = time.monotonic() + traffic.options.seconds
    while time.monotonic() < ends and not traffic.stopping.wait(1):
        counts = traffic.counts()
        print(f"{traffic.options.seconds - (ends - time.monotonic()):5.0f} s  {counts.changes} changes, {counts.key_changes} key changes", flush=True)
    traffic.stop()
    print(traffic.counts())
    return 0 if traffic.counts().changes >= traffic.options.changes_min else 1


if __name__ == "__main__":
    sys.exit(main())
