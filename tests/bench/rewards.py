"""rewards: the reward trigger on the full table of notifications, beside the any() form of it.

Challenges are completed one by one, each of another user. All is rolled back.
"""

import os
import time

import dataset_sql
from dataset import DATABASE, REPO, Dataset
from figures import BenchFailed, median, result, say

ALONE, BATCH, ANY = 500, 1000, 3
GOAL_MS = 2.0
_TRIGGER = os.path.join(REPO, "sql", "rewards", "challenges.sql")
_LOOK_UP, _ANY = "n.user_ids @> array[new.user_id]", "new.user_id = any(n.user_ids)"


def rewards(options) -> list[dict]:
    dataset = Dataset(options.data, options.scale)
    dataset.start()
    try:
        connection = dataset.postgres.connect(DATABASE, autocommit=False)
        with connection.cursor() as cursor:
            found = _measure(cursor, _Users(dataset.sizes))
        connection.rollback()
        connection.close()
    finally:
        dataset.stop()
    return [
        result("completed challenge with the trigger", found["alone"], "ms", "goal, at most",
               GOAL_MS),
        result("the same, in one statement of 1,000", found["batch"], "ms", "goal, at most",
               GOAL_MS),
        result("completed challenge with the trigger, beside any()", found["alone"], "ms",
               "any() form", found["any"]),
        result("the longest", found["longest"], "ms"),
        result("completed challenge without the trigger", found["bare"], "ms"),
    ]


def _measure(cursor, users: "_Users") -> dict:
    bare = [_complete(cursor, [users.next()]) for _ in range(ALONE)]
    with open(_TRIGGER, encoding="utf-8") as text:
        trigger = text.read()
    if _LOOK_UP not in trigger:
        raise BenchFailed(f"{_TRIGGER} looks up rewards in another way than this knows")
    cursor.execute(trigger)
    alone = [_complete(cursor, [users.next()]) for _ in range(ALONE)]
    batch = _complete(cursor, [users.next() for _ in range(BATCH)]) / BATCH
    cursor.execute("explain (costs off) select 1 from notification as n where n.user_ids @> "
                   "array[7] and n.type = 'reward_in_cooldown' and n.\"timestamp\" >= now()")
    for line, in cursor.fetchall():
        say(f"    {line}")
    cursor.execute(trigger.replace(_LOOK_UP, _ANY))
    slow = [_complete(cursor, [users.next()]) for _ in range(ANY)]
    p99 = sorted(alone)[int(ALONE * 0.99)]
    say(f"{median(alone):.2f} ms a completed challenge, p99 {p99:.2f}, {batch:.2f} ms of {BATCH} "
        f"in one statement; {median(bare):.2f} ms without the trigger; {median(slow):,.0f} ms "
        "by any()")
    return {"alone": median(alone), "batch": batch, "bare": median(bare), "any": median(slow),
            "longest": max(alone)}


def _complete(cursor, users: list[int]) -> float:
    """Milliseconds for a statement that completes a challenge of each user."""
    begin = time.perf_counter()
    cursor.execute(
        "insert into user_challenges (challenge_id, user_id, specifier, is_complete, "
        "current_step_count, completed_blocknumber, amount, completed_at) "
        "select 'm', u, 'bench:' || to_hex(u), true, 1, %s, 1, now() from unnest(%s) as u",
        (dataset_sql.FIRST_BLOCK, users))
    return 1000 * (time.perf_counter() - begin)


class _Users:
    """Another one each time, scattered."""

    def __init__(self, sizes: dataset_sql.Sizes):
        self._sizes, self._given = sizes, 0

    def next(self) -> int:
        self._given += 1
        return 1 + self._given * dataset_sql.SPREAD_ITEMS % self._sizes.users
