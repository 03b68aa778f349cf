"""An independent look at milestones: which must stand, and could each that stands have been crossed?

It shares no SQL and no declaration with Tidemark: rows are counted here, one by one.

module: compare(connection)           for histories that only grew: each threshold up to the count stands, and no other
        compare(connection, history)  for any other: each threshold up to the count stands; each that stands could be
                                      crossed in some order of the changes that the history noted, by one of their rows
Both want counters that were recounted once before the first row came: a first recount announces nothing.
"""
import collections
import datetime

from derivation import grouped, read, snapshot

THRESHOLDS = (10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000)
OF_FOLLOWERS = (10, 25, 50, 100, 250, 500, 1000, 5000, 10000, 20000, 50000, 100000, 1000000)
FOLLOWERS = "FOLLOWER_COUNT"
KEYS = {"follows": ("follower_user_id", "followee_user_id", "txhash"),
        "reposts": ("user_id", "repost_item_id", "repost_type", "txhash"),
        "saves": ("user_id", "save_item_id", "save_type", "txhash")}
TYPES = ("milestone", "milestone_follower_count")
EPOCH = datetime.datetime(1970, 1, 1)


def cell_of(table, row):
    """The (name, id) that a row counts for; None when it isn't active."""
    if not row["is_current"] or row["is_delete"]:
        return None
    if table == "follows":
        return FOLLOWERS, row["followee_user_id"]
    thing, what = ("repost", "REPOST_COUNT") if table == "reposts" else ("save", "SAVE_COUNT")
    return ("TRACK_" if row[f"{thing}_type"] == "track" else "PLAYLIST_") + what, row[f"{thing}_item_id"]


def item_of(cell):
    """(table, id) of what has an owner; None: the user that is counted for is told."""
    name, id_ = cell
    return None if name == FOLLOWERS else ("tracks" if name.startswith("TRACK_") else "playlists", id_)


def figures_of(row):
    at = row["created_at"]  # Debezium sends microseconds
    return row["blocknumber"], row["slot"], EPOCH + datetime.timedelta(microseconds=at) if isinstance(at, int) else at


class History:
    """What counts could have been and whose items were, by the changes that it is shown.

    Those of one partition come in their order; partitions may have been applied in any order.
    """

    def __init__(self):
        self.figures = collections.defaultdict(set)  # cell -> what its active rows said of themselves
        self.owners = collections.defaultdict(set)   # (table, id) -> who ever owned it
        self.albums = collections.defaultdict(set)   # playlist -> is_album as it ever was
        self._standing = collections.defaultdict(set)
        self._peaks = collections.defaultdict(collections.Counter)
        self._owned_at, self._counted_at = {}, {}

    def note(self, table, before, after, partition=0, at=0):
        """A row before and after a change, None when there is none; `at`: where it stands in the source's log."""
        if table in KEYS:
            self._note_counted(table, before, after, partition, at)
        elif table in ("tracks", "playlists") and after is not None and after["is_current"]:
            track = table == "tracks"
            item = table, after["track_id" if track else "playlist_id"]
            self.owners[item].add(after["owner_id" if track else "playlist_owner_id"])
            self._owned_at.setdefault(item, at)
            if not track:
                self.albums[item[1]].add(after["is_album"])

    def _note_counted(self, table, before, after, partition, at):
        key = tuple((before or after)[column] for column in KEYS[table])
        cell = cell_of(table, before) if before else None
        if cell:
            self._standing[cell, partition].discard(key)
        cell = cell_of(table, after) if after else None
        if cell:
            standing = self._standing[cell, partition]
            standing.add(tuple(after[column] for column in KEYS[table]))
            self._peaks[cell][partition] = max(self._peaks[cell][partition], len(standing))
            self.figures[cell].add(figures_of(after))
            self._counted_at[cell] = min(at, self._counted_at.get(cell, at))

    def most(self, cell):
        """The count with each partition at its best moment: no order gives more."""
        return sum(self._peaks[cell].values())

    def owned_first(self, cell):
        """Was its owner known before it was counted?"""
        item = item_of(cell)
        return item is None or item in self._owned_at and self._owned_at[item] <= self._counted_at[cell]


class Now:
    """The source tables in one snapshot."""

    def __init__(self, cursor):
        self.history, self.counts, self.unwelcome = History(), collections.Counter(), set()
        cursor.execute("select user_id from public.aggregate_user where coalesce(score, -1) < 0")
        distrusted = {user for user, in cursor.fetchall()}
        for table in ("tracks", "playlists", *KEYS):
            for row in (row._asdict() for row in read(cursor, table)):
                self.history.note(table, None, row)
                cell = cell_of(table, row) if table in KEYS else None
                if cell:
                    self.counts[cell] += 1
                    if row[KEYS[table][0]] in distrusted:
                        self.unwelcome.add(cell)  # one of these may have been the row that crossed

    def due(self, history):
        """(name, id, threshold) of what must stand."""
        return {(*cell, threshold) for cell, count in self.counts.items()
                if cell not in self.unwelcome and self.history.owned_first(cell) and history.owned_first(cell)
                for threshold in (OF_FOLLOWERS if cell[0] == FOLLOWERS else THRESHOLDS) if threshold <= count}


def compare(connection, history=None):
    """The differences, in words; none is what it should say."""
    with snapshot(connection) as cursor:
        now = Now(cursor)
        stored = {(row.name, row.id, row.threshold): row for row in read(cursor, "milestones")}
        told = [row for row in read(cursor, "notification") if row.type in TYPES]
    history = history or now.history
    differences = [f"milestone {key}: expected, found none" for key in sorted(now.due(history) - stored.keys())]
    for (name, id_, threshold), row in sorted(stored.items()):
        cell, figures = (name, id_), (row.blocknumber, row.slot, row.timestamp)
        if threshold > history.most(cell) or threshold not in (OF_FOLLOWERS if name == FOLLOWERS else THRESHOLDS):
            differences.append(f"milestone {name} {id_}: {threshold} was never crossed, at most {history.most(cell)}")
        elif figures not in history.figures[cell]:
            differences.append(f"milestone {name} {id_} {threshold}: no row that counted said {figures}")
    return differences + compare_notifications(history, stored, told)


def compare_notifications(history, stored, told):
    groups = grouped(told, lambda n: n.group_id)
    differences = []
    for key, row in sorted(stored.items()):
        name, id_, threshold = key
        notifications = groups.pop(f"milestone:{name}:id:{id_}:threshold:{threshold}", [])
        if not notifications:
            differences.append(f"milestone {key}: nobody was told")
        # Another owner is told when the count falls and crosses again.
        for n in notifications:
            if not says(n, key, history):
                differences.append(f"notification {n.group_id}: it says {n}")
        if notifications and not any((n.blocknumber, n.timestamp) == (row.blocknumber, row.timestamp)
                                     for n in notifications):
            differences.append(f"milestone {key}: it and its notification tell of different rows")
    return differences + [f"notification {group}: there is no such milestone" for group in sorted(groups)]


def says(n, key, history):
    """Is it what one whom it concerns should be told?"""
    name, id_, threshold = key
    item = item_of((name, id_))
    whose = {id_} if item is None else history.owners[item]
    what = "user_id" if item is None else item[0][:-1] + "_id"
    wanted = {"type": name, what: id_, "threshold": threshold}
    if what == "playlist_id":
        wanted["is_album"] = n.data.get("is_album")
        if wanted["is_album"] not in history.albums[id_]:
            return False
    return (n.type == (TYPES[1] if item is None else TYPES[0]) and n.slot is None and len(n.user_ids) == 1
            and n.user_ids[0] in whose and n.specifier == str(n.user_ids[0]) and n.data == wanted
            and any((n.blocknumber, n.timestamp) == (block, at) for block, _, at in history.figures[name, id_]))
