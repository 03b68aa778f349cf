"""Somebody who reads the target while all is running, and proves each reading right afterwards.

A reading is one REPEATABLE READ snapshot of cells, offsets, fences and suspects. What each cell must be then follows from
the topics alone: a change counts if the stored offsets cover it, or if the newest outstanding fence over the cell saw it.
Shares no code and no declaration with Tidemark: contributions and the test of what a fence saw are written out by hand.
"""

import json
import threading

EVERY_S = 0.15
WATCHED = ("follows", "reposts", "saves", "tracks", "playlists")
SUSPECT_SHARE_MAX = 0.01
KEYS = {"aggregate_user": "user_id", "aggregate_track": "track_id", "aggregate_playlist": "playlist_id"}
COUNTERS = {"aggregate_user": ("following_count", "follower_count", "repost_count", "track_save_count", "total_track_count",
                               "track_count", "playlist_count", "album_count"),
            "aggregate_track": ("repost_count", "save_count"), "aggregate_playlist": ("repost_count", "save_count")}


def contributions(table, row):
    """The cells that a row counts in, each by one."""
    if table not in WATCHED or row is None or not row["is_current"] or row["is_delete"]:
        return
    if table == "follows":
        yield "aggregate_user", "following_count", row["follower_user_id"]
        yield "aggregate_user", "follower_count", row["followee_user_id"]
    elif table == "reposts":
        yield "aggregate_user", "repost_count", row["user_id"]
        item = "aggregate_track" if row["repost_type"] == "track" else "aggregate_playlist"
        yield item, "repost_count", row["repost_item_id"]
    elif table == "saves":
        if row["save_type"] == "track":
            yield "aggregate_user", "track_save_count", row["user_id"]
        yield "aggregate_track" if row["save_type"] == "track" else "aggregate_playlist", "save_count", row["save_item_id"]
    elif table == "tracks" and row["is_available"] and row["stem_of"] is None:
        yield "aggregate_user", "total_track_count", row["owner_id"]
        if not row["is_unlisted"]:
            yield "aggregate_user", "track_count", row["owner_id"]
    elif table == "playlists" and not row["is_private"]:
        yield "aggregate_user", "album_count" if row["is_album"] else "playlist_count", row["playlist_owner_id"]


class Fence:
    """One row of tidemark.fences."""

    def __init__(self, row):
        (self.id, aggregate, self.key_from, self.key_to, listed, excepted, snapshot, self.next_id, self.inserted,
         self.floor) = row
        self.aggregate = aggregate.removeprefix("public.")
        self.listed = None if listed is None else {int(key) for key in listed}
        self.excepted = {int(key) for key in excepted}
        _, xmax, running = snapshot.split(":")
        self.xmax = int(xmax)
        self.running = {int(one) % 2**32 for one in running.split(",") if one}

    def covers(self, aggregate, key):
        if aggregate != self.aggregate or key in self.excepted:
            return False
        if self.listed is not None:
            return key in self.listed
        return (self.key_from is None or key >= int(self.key_from)) and (self.key_to is None or key < int(self.key_to))

    def saw(self, lsn, xid):
        """Rule F1, in the 32 bits that events carry."""
        unfinished = (xid - self.xmax) % 2**32 < self.next_id - self.xmax or xid in self.running
        return lsn < self.floor or (lsn < self.inserted and not unfinished)


class Reading:
    """One snapshot of the target."""

    def __init__(self, cursor):
        self.cells = {}
        for aggregate, counters in COUNTERS.items():
            columns = ", ".join(f"coalesce({counter}, 0)" for counter in counters)
            cursor.execute(f"select {KEYS[aggregate]}, {columns} from public.{aggregate}")
            for key, *values in cursor.fetchall():
                for counter, value in zip(counters, values):
                    self.cells[aggregate, counter, key] = value
        cursor.execute("select topic, partition, next_offset from tidemark.progress")
        self.offsets = {(topic, partition): at for topic, partition, at in cursor.fetchall()}
        cursor.execute("select id, aggregate, key_from, key_to, listed, except_keys, snapshot, next_id, inserted, restart"
                       " from tidemark.fences order by id desc")
        self.fences = [Fence(row) for row in cursor.fetchall()]
        cursor.execute("select aggregate, counter, key from tidemark.suspects where cause <> 'requested'")
        self.suspects = {(aggregate.removeprefix("public."), counter, int(key)) for aggregate, counter, key in
                         cursor.fetchall() if counter in COUNTERS[aggregate.removeprefix("public.")]}
        cursor.execute("select aggregate, counter from tidemark.suspect_ranges")
        self.ranges = {(aggregate.removeprefix("public."), counter) for aggregate, counter in cursor.fetchall()}

    def is_suspect(self, cell):
        return cell in self.suspects or cell[:2] in self.ranges


class Observer:
    """Reads until it is stopped; check() then proves every reading."""

    def __init__(self, world):
        self._world, self.readings, self._problem = world, [], None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            connection = self._world.stack.postgres.connect(self._world.name, autocommit=False)
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            while not self._stopping.wait(EVERY_S):
                with connection.cursor() as cursor:
                    self.readings.append(Reading(cursor))
                connection.rollback()
            connection.close()
        except Exception as problem:  # told by check(), in the scenario's thread
            self._problem = problem

    def failed(self):
        return self._problem is not None

    def stop(self):
        self._stopping.set()
        self._thread.join()
        if self._problem:
            raise self._problem

    def changes(self):
        """Each change once, at its first offset: (topic, partition), offset, lsn, xid, {cell: delta}."""
        found = {}
        for topic in sorted({topic for reading in self.readings for topic, _ in reading.offsets}):
            for record in self._world.client.records(topic):
                event = json.loads(record.value) if record.value else {}
                if event.get("op") not in ("c", "u", "d"):
                    continue
                source, deltas = event["source"], {}
                for row, by in ((event["before"], -1), (event["after"], 1)):
                    for cell in contributions(source["table"], row):
                        deltas[cell] = deltas.get(cell, 0) + by
                identity = (source["txId"], source["lsn"], source["table"], json.dumps([event["before"], event["after"]]))
                found.setdefault(identity, ((record.topic, record.partition), record.offset, source["lsn"], source["txId"],
                                            {cell: by for cell, by in deltas.items() if by}))
        return [change for change in found.values() if change[4]]

    def check(self):
        """Figures in words; raises AssertionError for the first reading that is wrong."""
        changes, suspects, judged, ahead = self.changes(), 0, 0, 0
        for number, reading in enumerate(self.readings):
            wrong, seen = differing(reading, changes)
            left_out = sum(1 for cell in reading.cells if reading.is_suspect(cell))
            wrong = [one for one in wrong if not reading.is_suspect(one[0])]
            assert not wrong, f"reading {number} of {len(self.readings)}: {len(wrong)} cells are wrong: {wrong[:3]}"
            assert left_out <= SUSPECT_SHARE_MAX * max(1, len(reading.cells)), \
                f"reading {number}: {left_out} of {len(reading.cells)} cells are suspect"
            suspects, judged, ahead = max(suspects, left_out), judged + len(reading.cells) - left_out, ahead + seen
        return (f"{len(self.readings)} readings, {judged} cells of them right, {ahead} counted ahead by fences,"
                f" at most {suspects} suspect")


def differing(reading, changes):
    """[(cell, must be, is)], and how many contributions only a fence had counted."""
    must, seen = {}, 0
    newest = {}
    for where, offset, lsn, xid, deltas in changes:
        covered = offset < reading.offsets.get(where, 0)
        for cell, by in deltas.items():
            if not covered:
                if cell not in newest:
                    newest[cell] = next((fence for fence in reading.fences if fence.covers(cell[0], cell[2])), None)
                if newest[cell] is None or not newest[cell].saw(lsn, xid):
                    continue
                seen += 1
            must[cell] = must.get(cell, 0) + by
    cells = reading.cells.keys() | must.keys()
    return [(cell, must.get(cell, 0), reading.cells.get(cell, 0)) for cell in sorted(cells)
            if must.get(cell, 0) != reading.cells.get(cell, 0)], seen
