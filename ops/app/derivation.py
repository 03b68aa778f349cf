#!/usr/bin/python3
"""An independent derivation of challenges: what must stand in user_challenges and in what hangs on it?

It shares no SQL with Tidemark: the source tables are read whole, in one snapshot, and the rules are evaluated here, by
hand from the application's own description of them. It says the truth only when stream and deriver have caught up.

module: derive(connection) -> Derived        what the source tables say, from nothing
        compare(connection) -> [difference]  for histories that only grow: all is equal, but for times
        compare(connection, grown=False)     for any other, what can be said: what holds now is complete, up to caps
                                             and to what was earned before; nothing stands twice; incomplete rows are
                                             equal
        ever=Ever()                          with it, also: each completed row was true in one of the states it noted
usage:  derivation.py --dsn DSN [--any]      prints the differences, then their number; exits 0, 1 or 2 as checker.py
"""
import argparse
import collections
import contextlib
import dataclasses
import datetime
import sys

import psycopg2
import psycopg2.extras

COSIGNS_MAX = 5  # of one artist in 30 days
TABLES = ("user_events", "users", "playlists", "remixes", "follows", "reposts", "saves", "challenges")
PROFILE = ("profile_description", "profile_name", "profile_picture", "profile_cover_photo", "follows", "favorites",
           "reposts")
SHOWN_MAX = 20


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of user_challenges, without its times."""
    user: int
    complete: bool
    steps: int
    block: object
    amount: int


@dataclasses.dataclass
class Derived:
    rows: dict      # (challenge, specifier) -> Row, with caps, and a pair in r or rv as its referrer is now
    earned: dict    # the complete ones without caps
    profiles: dict  # user -> the seven steps, of users who take part in p
    catalogue: dict


class Ever:
    """Which completed rows were true, in the states that it was shown."""

    def __init__(self):
        self._blocks = collections.defaultdict(set)

    def note(self, derived):
        for key, row in derived.earned.items():
            self._blocks[key].add(row.block)

    def has(self, key, block):
        return block in self._blocks.get(key, ())


@contextlib.contextmanager
def snapshot(connection):
    """A cursor in a read-only transaction of one snapshot."""
    with connection.cursor(cursor_factory=psycopg2.extras.NamedTupleCursor) as cursor:
        cursor.execute("begin isolation level repeatable read read only" if connection.autocommit else
                       "set transaction isolation level repeatable read, read only")
        try:
            yield cursor
        finally:
            cursor.execute("rollback")


def read(cursor, table, columns="*"):
    cursor.execute(f"select {columns} from public.{table}")
    return cursor.fetchall()


def in_order(block):
    """Blocks in their order, none last."""
    return (block is None, block or 0)


def first_block(blocks):
    return min((block for block in blocks if block is not None), default=None)


def grouped(rows, key):
    groups = collections.defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def once(user, block):
    return (user, True, 1, block)


# ----------------------------------------------------------------------------------------------------------------------
# The rules: each gives specifier -> (user, complete, steps, block), from the current rows of the tables.

def mobile(s, _):
    events = grouped((e for e in s["user_events"] if e.is_mobile_user), lambda e: e.user_id)
    return {f"{user:x}": once(user, first_block(e.blocknumber for e in rows)) for user, rows in events.items()}


def referrals(s, verified):
    """All pairs whose referrer is (not) verified, without a cap."""
    state = {}
    for user in s["users"]:
        state[user.user_id] = state.get(user.user_id, False) or user.is_verified
    pairs = grouped((e for e in s["user_events"] if e.referrer is not None and state.get(e.referrer) is verified),
                    lambda e: (e.referrer, e.user_id))
    return {f"{by:x}:{user:x}": once(by, first_block(e.blocknumber for e in rows))
            for (by, user), rows in pairs.items()}


def capped(pairs, cap, owner):
    """The first of each owner, by block and then the second id of the specifier."""
    kept = {}
    for keys in grouped(pairs, owner).values():
        keys.sort(key=lambda key: (in_order(pairs[key][3]), int(key.split(":")[1], 16)))
        kept.update((key, pairs[key]) for key in keys[:cap])
    return kept


def referred(s, _):
    found = {}
    for user, rows in grouped((e for e in s["user_events"] if e.referrer is not None), lambda e: e.user_id).items():
        event = min(rows, key=lambda e: (in_order(e.blocknumber), e.id))
        found[f"{user:x}:{event.referrer:x}"] = once(user, event.blocknumber)
    return found


def uploads(s, challenge):
    start = challenge.starting_block or 0
    tracks = grouped((t for t in s["tracks"] if not t.is_delete and not t.is_unlisted and t.stem_is_null
                      and t.blocknumber is not None and t.blocknumber >= start), lambda t: t.owner_id)
    found = {}
    for owner, rows in tracks.items():
        blocks, wanted = sorted(t.blocknumber for t in rows), challenge.step_count
        complete = len(blocks) >= wanted
        found[f"{owner:x}"] = (owner, complete, min(len(blocks), wanted), blocks[wanted - 1] if complete else None)
    return found


def first_playlist(s, challenge):
    start = challenge.starting_block or 0
    made = grouped((p for p in s["playlists"] if not p.is_delete and p.blocknumber is not None
                    and p.blocknumber >= start), lambda p: p.playlist_owner_id)
    return {f"{owner:x}": once(owner, min(p.blocknumber for p in rows)) for owner, rows in made.items()}


def steps_of_profiles(s):
    """user -> (the seven steps in PROFILE's order, the block at which the last one of the wanted rows came)."""
    follows = grouped((f for f in s["follows"] if not f.is_delete), lambda f: f.follower_user_id)
    reposts = grouped((r for r in s["reposts"] if not r.is_delete), lambda r: r.user_id)
    saves = grouped((x for x in s["saves"] if not x.is_delete), lambda x: x.user_id)
    found = {}
    takes_part = (u for u in s["users"] if u.handle_lc is not None and not u.is_deactivated)
    for user, rows in grouped(takes_part, lambda u: u.user_id).items():
        steps = (any(u.bio is not None for u in rows), any(u.name is not None for u in rows),
                 any(u.profile_picture is not None or u.profile_picture_sizes is not None for u in rows),
                 any(u.cover_photo is not None or u.cover_photo_sizes is not None for u in rows),
                 len(follows[user]) >= 5, len(saves[user]) >= 1, len(reposts[user]) >= 1)
        fifth = sorted((f.blocknumber for f in follows[user]), key=in_order)[4:5]
        blocks = [u.blocknumber for u in rows] + fifth + [
            first_block(row.blocknumber for row in rows) for rows in (reposts[user], saves[user])]
        found[user] = (steps, max((block for block in blocks if block is not None), default=None))
    return found


def profiles(s, challenge):
    found = {}
    for user, (steps, block) in steps_of_profiles(s).items():
        complete = sum(steps) >= challenge.step_count
        found[f"{user:x}"] = (user, complete, min(sum(steps), challenge.step_count), block if complete else None)
    return found


def cosigns(s, _):
    verified = {u.user_id for u in s["users"] if u.is_verified}
    owners = grouped(s["tracks"], lambda t: t.track_id)
    parents = grouped(s["remixes"], lambda x: x.child_track_id)
    marks = [(r.user_id, r.repost_item_id, r.blocknumber) for r in s["reposts"]
             if r.repost_type == "track" and not r.is_delete]
    marks += [(x.user_id, x.save_item_id, x.blocknumber) for x in s["saves"]
              if x.save_type == "track" and not x.is_delete]
    found = {}
    for actor, item, block in marks:
        own = any(t.owner_id == actor for x in parents.get(item, ()) for t in owners.get(x.parent_track_id, ()))
        if actor not in verified or not own or item not in owners:
            continue
        key = f"{actor:x}:{item:x}"
        block = first_block([block, found[key][3]] if key in found else [block])
        found[key] = once(min(t.owner_id for t in owners[item]), block)
    return found


def by_first(key):
    return key.split(":")[0]


RULES = {
    "m": mobile, "r": lambda s, _: referrals(s, False), "rv": lambda s, _: referrals(s, True), "rd": referred,
    "u": uploads, "fp": first_playlist, "p": profiles, "cs": cosigns}


def derive_from(cursor):
    tables = {name: read(cursor, name) for name in TABLES}
    tables["tracks"] = read(cursor, "tracks", "*, stem_of is null as stem_is_null")
    catalogue = {c.id: c for c in tables.pop("challenges")}
    sources = {name: [row for row in rows if name == "remixes" or row.is_current] for name, rows in tables.items()}
    found, earned = {}, {}
    for challenge_id, rule in RULES.items():
        challenge = catalogue.get(challenge_id)
        if challenge is None or not challenge.active:
            continue
        rows = rule(sources, challenge)
        cap = {"r": challenge.step_count, "rv": challenge.step_count, "cs": COSIGNS_MAX}.get(challenge_id)
        kept = rows if cap is None else capped(rows, cap, by_first)
        amount = int(challenge.amount)
        earned.update(((challenge_id, key), Row(*row, amount)) for key, row in rows.items() if row[1])
        found.update(((challenge_id, key), Row(*row, amount)) for key, row in kept.items())
    active = "p" in catalogue and catalogue["p"].active
    steps = {user: steps for user, (steps, _) in steps_of_profiles(sources).items()} if active else {}
    return Derived(found, earned, steps, catalogue)


def derive(connection):
    with snapshot(connection) as cursor:
        return derive_from(cursor)


# ----------------------------------------------------------------------------------------------------------------------
# What stands, against it.

def compare(connection, grown=True, ever=None):
    """The differences, in words; none is what it should say."""
    with snapshot(connection) as cursor:
        derived = derive_from(cursor)
        stored = {(row.challenge_id, row.specifier): row for row in read(cursor, "user_challenges")}
        kept = {row.user_id: row for row in read(cursor, "challenge_profile_completion")}
        notifications = [row for row in read(cursor, "notification") if row.type in REWARD_TYPES]
        paid = read(cursor, "challenge_disbursements",
                    "*, signature in (select signature from public.reward_manager_txs) as known")
    judge = equal if grown else sandwich
    return (judge(derived, stored) + sound(derived, stored, ever) + compare_profiles(derived, stored, kept)
            + compare_notifications(derived, stored, notifications, paid))


def as_row(row):
    return Row(row.user_id, row.is_complete, row.current_step_count, row.completed_blocknumber, row.amount)


def text(key):
    return f"user_challenges {key[0]} {key[1]}"


def fell_to_nothing(key, row):
    return key[0] == "u" and not row.is_complete and row.current_step_count == 0


def judged(derived, stored):
    """The stored rows of active challenges: the others are as they were left."""
    return {key: row for key, row in stored.items() if key[0] in derived.catalogue and derived.catalogue[key[0]].active
            and key[0] in RULES}


def equal(derived, stored):
    found = {key: as_row(row) for key, row in judged(derived, stored).items() if not fell_to_nothing(key, row)}
    return [f"{text(key)}: expected {derived.rows.get(key)}, found {found.get(key)}"
            for key in sorted(derived.rows.keys() | found.keys()) if derived.rows.get(key) != found.get(key)]


def sandwich(derived, stored):
    differences, held = [], Held(stored)
    for key, row in sorted(derived.rows.items()):
        found = stored.get(key)
        if row.complete:
            if not (found and found.is_complete) and not held.excuses(key, row, derived):
                differences.append(f"{text(key)}: expected complete, found {found and as_row(found)}")
        elif found is None or not found.is_complete and as_row(found) != row:
            differences.append(f"{text(key)}: expected {row}, found {found and as_row(found)}")
    # An incomplete row of nothing: u that fell to 0, and p of a user who left.
    unexpected = {key: row for key, row in judged(derived, stored).items()
                  if not row.is_complete and key not in derived.rows and key[0] != "p"}
    return differences + [f"{text(key)}: found {as_row(row)}, expected none" for key, row in sorted(unexpected.items())
                          if not fell_to_nothing(key, row)]


class Held:
    """What stands complete, for telling whether a row that is true now need not be there."""

    def __init__(self, stored):
        self._complete = {key for key, row in stored.items() if row.is_complete}
        self._counts = collections.Counter((key[0], by_first(key[1])) for key in self._complete)
        self._referred = {row.user_id for key, row in stored.items() if key[0] == "rd"}

    def excuses(self, key, row, derived):
        """Earned otherwise before, or there was no room when it came."""
        challenge, specifier = key
        taken = self._counts[challenge, by_first(specifier)]
        if challenge in ("r", "rv"):
            return (taken >= derived.catalogue[challenge].step_count
                    or any((other, specifier) in self._complete for other in ("r", "rv")))
        if challenge == "rd":
            return row.user in self._referred
        return challenge == "cs" and taken >= COSIGNS_MAX


def sound(derived, stored, ever):
    """What holds of the stored rows whatever the history was."""
    differences, complete = [], {key: row for key, row in stored.items() if row.is_complete}
    for key, row in sorted(stored.items()):
        if row.is_complete != (row.completed_at is not None):
            differences.append(f"{text(key)}: completed_at is {row.completed_at}")
        if row.is_complete and ever is not None and key[0] in RULES and not ever.has(key, row.completed_blocknumber):
            differences.append(f"{text(key)}: was never true with block {row.completed_blocknumber}")
        if key[0] == "r" and row.is_complete and ("rv", key[1]) in complete:
            differences.append(f"{text(key)}: stands in rv too")
    counts = collections.Counter((key[0], by_first(key[1])) for key in complete if key[0] in ("r", "rv"))
    differences += [f"user_challenges {id_}: {n} of referrer {by}" for (id_, by), n in sorted(counts.items())
                    if id_ in derived.catalogue and n > (derived.catalogue[id_].step_count or 0)]
    held = collections.Counter(row.user_id for key, row in stored.items() if key[0] == "rd")
    return differences + [f"user_challenges rd: {n} of user {user}" for user, n in sorted(held.items()) if n > 1]


def compare_profiles(derived, stored, kept):
    differences = []
    for user, steps in sorted(derived.profiles.items()):
        row, frozen = kept.get(user), stored.get(("p", f"{user:x}"))
        if frozen is not None and frozen.is_complete:
            if row is None or sum(getattr(row, step) for step in PROFILE) < frozen.current_step_count:
                differences.append(f"challenge_profile_completion {user}: not as when it was completed")
        elif row is None or tuple(getattr(row, step) for step in PROFILE) != steps:
            differences.append(f"challenge_profile_completion {user}: expected {steps}, found {row}")
    return differences


# ----------------------------------------------------------------------------------------------------------------------
# Reward notifications, from the completed rows that stand.

REWARD_TYPES = ("claimable_reward", "challenge_reward", "reward_in_cooldown")
HOUR = datetime.timedelta(hours=1)
NOT_CLAIMED = ("tt", "tp", "tut", "dvl")
NOT_TOLD = ("b", "s")


def group(kind, user, challenge, specifier):
    return f"{kind}:{user}:challenge:{challenge}:specifier:{specifier}"


def content(row, kind, specifier, amount):
    data = {"specifier": row.specifier, "challenge_id": row.challenge_id, "amount": amount}
    return kind, specifier, row.completed_blocknumber, row.completed_at, data, [row.user_id]


def found_content(n):
    data = {key: value for key, value in n.data.items() if key != "listen_streak"}
    return n.type, n.specifier, n.blocknumber, n.timestamp, data, n.user_ids


def compare_notifications(derived, stored, notifications, paid):
    by_group = {n.group_id: n for n in notifications}
    expected, cooling, differences = {}, collections.defaultdict(list), []
    for row in (row for row in stored.values() if row.is_complete and row.challenge_id in derived.catalogue):
        keys = (row.user_id, row.challenge_id, row.specifier)
        if (derived.catalogue[row.challenge_id].cooldown_days or 0) > 0:
            if row.challenge_id not in NOT_TOLD:
                cooling[row.user_id].append(row)
                expected[group("reward_in_cooldown", *keys)] = content(
                    row, "reward_in_cooldown", row.specifier, row.amount)
            continue
        if row.challenge_id not in NOT_CLAIMED:
            expected[group("claimable_reward", *keys)] = content(row, "claimable_reward", row.specifier, row.amount)
        expected[group("challenge_reward", *keys)] = content(
            row, "challenge_reward", str(row.user_id), f"{row.amount}00000000")
    disbursed = {group("challenge_reward", row.user_id, row.challenge_id, row.specifier) for row in paid}
    for name, wanted in sorted(expected.items()):
        n = by_group.get(name)
        if n is None:
            if wanted[0] != "reward_in_cooldown":  # one of these stands for others
                differences.append(f"notification {name}: expected {wanted}, found none")
        elif found_content(n) != wanted and name not in disbursed:
            differences.append(f"notification {name}: expected {wanted}, found {found_content(n)}")
    differences += [f"notification {n.group_id}: nothing calls for it" for n in notifications
                    if n.group_id not in expected and n.slot is None]
    return differences + one_an_hour(cooling, notifications) + untold(paid, notifications)


def one_an_hour(cooling, notifications):
    """Whichever came first: each completed challenge is told, or another, at most an hour before it or later."""
    differences = []
    told = grouped((n for n in notifications if n.type == "reward_in_cooldown"), lambda n: n.user_ids[0])
    for user in sorted(cooling.keys() | told.keys()):
        times = sorted(n.timestamp for n in told[user])
        differences += [f"notification reward_in_cooldown of {user}: two within an hour, {a} and {b}"
                        for a, b in zip(times, times[1:]) if b <= a + HOUR]
        differences += [f"{text((row.challenge_id, row.specifier))}: user {user} was not told" for row in cooling[user]
                        if not any(time >= row.completed_at - HOUR for time in times)]
    return differences


def untold(paid, notifications):
    told = grouped((n for n in notifications if n.type == "challenge_reward"), lambda n: n.user_ids[0])
    return [f"challenge_disbursements {row.challenge_id} {row.specifier}: user {row.user_id} was not told"
            for row in paid if row.known and not any(n.timestamp >= row.created_at - HOUR for n in told[row.user_id])]


def main():
    parser = argparse.ArgumentParser(description="Derives challenges from the source tables and compares.")
    parser.add_argument("--dsn", required=True, help="libpq connection string of the application's database")
    parser.add_argument("--any", action="store_true", help="the history did not only grow")
    arguments = parser.parse_args()
    try:
        with contextlib.closing(psycopg2.connect(arguments.dsn, application_name="derivation")) as connection:
            differences = compare(connection, grown=not arguments.any)
    except psycopg2.Error as error:
        print(f"derivation: cannot compare: {str(error).strip()}", file=sys.stderr)
        return 2
    for difference in differences[:SHOWN_MAX]:
        print(difference)
    print(f"differences: {len(differences)}")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
