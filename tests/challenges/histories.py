"""Random histories of the application's tables, as data: made from a seed, carried out operation by operation, shrunk.

An operation that finds nothing to do does nothing, so that any part of a history is a history.
"""

import random
import time

USERS, TRACKS, PLAYLISTS = range(1, 9), range(1, 13), range(1, 5)
FIELDS = ("bio", "name", "profile_picture", "cover_photo_sizes")
SHRINK_S_MAX = 60

# How often each comes. Those that only add rows, and those that also take back.
GROWING = {"user": 4, "fill": 6, "event": 10, "track": 8, "playlist": 3, "follow": 12, "mark": 10, "remix": 6}
ANY = {**GROWING, "remix": 14, "track": 12, "toggle": 8, "demote": 4, "revert": 2, "verify": 4, "deactivate": 2,
       "clear": 3, "hide": 3, "forget": 2}
REMIXES = {2: 1, 4: 3, 6: 5, 8: 7, 10: 9}  # child: parent; at most five of one artist, so that the cap cuts nothing off


def make(seed, grown, length):
    """Operations: (name, block, whether to derive after it, a number that decides the rest)."""
    dice, weights = random.Random(seed), GROWING if grown else ANY
    operations = []
    for n in range(length):
        block = n + 1 if grown else dice.choice([None, *range(1, length)])
        name = dice.choices(list(weights), list(weights.values()))[0]
        operations.append((name, block, dice.random() < 0.6, dice.randrange(1 << 30)))
    return operations


class History:
    """Carries operations out in a world; each gives the users that it makes dirty."""

    def __init__(self, world, grown):
        self.world, self.grown = world, grown

    def apply(self, operation):
        name, block, _, number = operation
        return getattr(self, name)(random.Random(number), block)

    def _one(self, dice, text, *parameters):
        """One of the rows, or none."""
        rows = self.world.sql(text, parameters)
        return dice.choice(rows) if rows else None

    def user(self, dice, block):
        user, fields = dice.choice(USERS), {field: "x" for field in FIELDS if dice.random() < 0.6}
        if self.world.sql("select 1 from users where user_id = %s and is_current", (user,)):
            return set()
        handle = "h" if dice.random() < 0.9 else None
        self.world.user(user, verified=dice.random() < 0.6, block=block, handle_lc=handle, **fields)
        return {user}

    def fill(self, dice, block):
        """A field of a profile is set: in place, or by a new row."""
        field, in_place = dice.choice(FIELDS), dice.random() < 0.5
        row = self._one(dice, f"select user_id, txhash from users where is_current and {field} is null order by 1")
        if row is None:
            return set()
        self.world.block(block)
        if not in_place:
            columns = ", ".join(c for c, in self.world.sql(
                "select column_name from information_schema.columns where table_name = 'users'")
                if c not in ("txhash", "is_current"))
            self.world.sql("update users set is_current = false where user_id = %s and txhash = %s", row)
            self.world.sql(f"insert into users (txhash, is_current, {columns}) select txhash || '+', true, {columns} "
                           "from users where user_id = %s and txhash = %s", row)
        self.world.sql(f"update users set {field} = 'y', blocknumber = %s where user_id = %s and is_current",
                       (block, row[0]))
        return {row[0]}

    def event(self, dice, block):
        user, referrer = dice.choice(USERS), dice.choice([None, *USERS])
        self.world.event(user, referrer, mobile=dice.random() < 0.4, block=block)
        return {user, referrer} - {None}

    def track(self, dice, block):
        track, owner = dice.choice(TRACKS), dice.choice(USERS[:5])
        if self.world.sql("select 1 from tracks where track_id = %s", (track,)):
            return set()
        self.world.track(track, owner, block=block, is_unlisted=dice.random() < 0.2, is_delete=dice.random() < 0.1,
                         stem_of="{}" if dice.random() < 0.1 else None)
        return {owner}

    def playlist(self, dice, block):
        playlist, owner = dice.choice(PLAYLISTS), dice.choice(USERS)
        if self.world.sql("select 1 from playlists where playlist_id = %s", (playlist,)):
            return set()
        self.world.playlist(playlist, owner, block=block, is_private=dice.random() < 0.3, is_album=dice.random() < 0.3)
        return {owner}

    def follow(self, dice, block):
        user = dice.choice(USERS[:4])
        self.world.follow(user, dice.choice(USERS), block=block)
        return {user}

    def mark(self, dice, block):
        """A repost or a save; often an artist's of a remix of a track of theirs."""
        user, item, kind = dice.choice(USERS[:5]), dice.choice(TRACKS), dice.choice(["track", "track", "album"])
        row = self._one(dice, "select p.owner_id, child_track_id from remixes join tracks p "
                              "on track_id = parent_track_id where p.is_current order by 1, 2")
        if row is not None and dice.random() < 0.5:
            user, item = row
        dice.choice([self.world.repost, self.world.save])(user, item, kind=kind, block=block)
        return {user}

    def remix(self, dice, _):
        child = dice.choice(list(REMIXES))
        owners = self.world.sql("select p.owner_id from tracks p, tracks c where p.track_id = %s and c.track_id = %s "
                                "and p.is_current and c.is_current", (REMIXES[child], child))
        if not owners or self.world.sql("select 1 from remixes where child_track_id = %s", (child,)):
            return set()
        self.world.insert("remixes", parent_track_id=REMIXES[child], child_track_id=child)
        return {owners[0][0]}

    # What takes back.

    ROWS = {"follows": "follower_user_id", "reposts": "user_id", "saves": "user_id", "tracks": "owner_id",
            "playlists": "playlist_owner_id"}

    def toggle(self, dice, block):
        """In place, with a new transaction, which is in the key."""
        table = dice.choice(list(self.ROWS))
        row = self._one(dice, f"select {self.ROWS[table]}, txhash from {table} where is_current order by 1, 2")
        if row is None:
            return set()
        self.world.sql(f"update {table} set is_delete = not is_delete, txhash = txhash || '+', blocknumber = %s "
                       "where txhash = %s", (self.world.block(block), row[1]))
        return {row[0]}

    def demote(self, dice, block):
        """An event's row is demoted, and perhaps another comes in the same transaction."""
        row = self._one(
            dice, "select id, user_id, referrer, is_mobile_user from user_events where is_current order by 1")
        if row is None:
            return set()
        self.world.sql("update user_events set is_current = false where id = %s", (row[0],))
        referrer = dice.choice([None, row[2], *USERS])
        if dice.random() < 0.7:
            self.world.event(row[1], referrer, mobile=row[3] or dice.random() < 0.5, block=block)
        return {row[1], row[2], referrer} - {None}

    def revert(self, dice, _):
        """A chain revert: the newest blocks' rows are gone."""
        self.world.sql("delete from blocks where number > (select max(number) from blocks) - %s",
                       (dice.randrange(1, 4),))
        return set(USERS)

    def _profile(self, dice, change):
        row = self._one(dice, "select distinct user_id from users where is_current order by 1")
        if row is not None:
            self.world.sql(f"update users set {change} where user_id = %s and is_current", row)
        return set(row or ())

    def verify(self, dice, _):
        return self._profile(dice, "is_verified = not is_verified")

    def deactivate(self, dice, _):
        return self._profile(dice, "is_deactivated = not is_deactivated")

    def clear(self, dice, _):
        return self._profile(dice, f"{dice.choice(FIELDS)} = null")

    def hide(self, dice, _):
        row = self._one(dice, "select owner_id, txhash from tracks order by 1, 2")
        if row is not None:
            self.world.sql("update tracks set is_unlisted = not is_unlisted where txhash = %s", (row[1],))
        return {row[0]} if row else set()

    def forget(self, dice, _):
        """A user's row is demoted without another."""
        return self._profile(dice, "is_current = false")


def shrink(operations, fails):
    """A shorter history that fails too: leaves parts out while it still does."""
    deadline, size = time.monotonic() + SHRINK_S_MAX, len(operations) // 2
    while size >= 1 and time.monotonic() < deadline:
        at = 0
        while at < len(operations) and time.monotonic() < deadline:
            rest = operations[:at] + operations[at + size:]
            if fails(rest):
                operations = rest
            else:
                at += size
        size //= 2
    return operations
