"""What a rule costs for one dirty user, alone and in batches, with the deriver's own statements.

Each user of a sample has lost the rule's rows before, so that each derivation writes; all of it is
rolled back. The session is the deriver's.
"""

import os
import time

from dataset import DATABASE, REPO, Dataset
from figures import median, result, say

CHALLENGES = os.path.join(REPO, "sql", "challenges")
ALONE, BATCHES, BATCH = 200, 10, 1000
ALONE_MS_MAX, BATCH_MS_MAX = 1.0, 0.1
_SESSION = ("set plan_cache_mode = force_generic_plan; set work_mem = '64MB'; "
            "set synchronous_commit = off")  # as store/pg.cc sets it up
# rule -> whom it concerns; of some pages of a table
_CONCERNED = {
    "m": "select e.user_id from user_events as e {sample} where is_current and is_mobile_user",
    "r": "select e.referrer from user_events as e {sample} join users as u on u.user_id = "
         "e.referrer and u.is_current and not u.is_verified where e.is_current",
    "rv": "select e.referrer from user_events as e {sample} join users as u on u.user_id = "
          "e.referrer and u.is_current and u.is_verified where e.is_current",
    "rd": "select e.user_id from user_events as e {sample} where is_current and "
          "referrer is not null",
    "u": "select t.owner_id from tracks as t {sample} where is_current",
    "fp": "select p.playlist_owner_id from playlists as p {sample} where is_current",
    "p": "select u.user_id from users as u {sample} where is_current",
    "cs": "select t.owner_id from remixes as x {sample} join tracks as t on t.track_id = "
          "x.parent_track_id and t.is_current",
}


def cost_of_rules(dataset: Dataset) -> list[dict]:
    connection = dataset.postgres.connect(DATABASE, autocommit=False)
    rows = []
    try:
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
            connection.commit()
            for rule in _CONCERNED:
                rows += _cost(connection, cursor, rule, min(100, 2 / dataset.scale))
    finally:
        connection.close()
    return sorted(rows, key=lambda row: "alone" not in row["name"])


def _cost(connection, cursor, rule: str, percent: float) -> list[dict]:
    cursor.execute("update challenges set active = true")  # cs, too: taken back with the rest
    users = _sample(cursor, rule, percent)
    for statement, text in _statements(rule).items():
        cursor.execute(f"prepare {statement} as {text}")
    cursor.execute("delete from user_challenges where challenge_id = %s and user_id = any(%s)",
                   (rule, users))
    alone = [_derive(cursor, rule, [user]) for user in users[:ALONE]]
    rest, batches = users[ALONE:], []
    while len(rest) >= BATCH and len(batches) < BATCHES:
        batches.append(_derive(cursor, rule, rest[:BATCH]) / BATCH)
        rest = rest[BATCH:]
    size = BATCH
    if not batches:  # of a small set
        size = len(rest) or 1
        batches.append(_derive(cursor, rule, rest) / size)
    say(f"{rule}: {median(alone):.3f} ms alone, {median(batches):.4f} ms a user in {len(batches)} "
        f"batches of {size}; the plan:")
    cursor.execute("explain (costs off) execute rule ('{1}', %s)", (rule,))
    for line, in cursor.fetchall():
        say(f"    {line}")
    connection.rollback()
    cursor.execute("deallocate all")
    return [result(f"rule {rule}, a user alone", median(alone), "ms", "goal, at most",
                   ALONE_MS_MAX),
            result(f"rule {rule}, a user of {size}", median(batches), "ms", "goal, at most",
                   BATCH_MS_MAX)]


def _sample(cursor, rule: str, percent: float) -> list[int]:
    sample = f"tablesample system ({float(percent)}) repeatable (1)" if rule != "cs" else ""
    concerned = _CONCERNED[rule].format(sample=sample)
    cursor.execute(f"select id from (select distinct id from ({concerned}) as c (id) where id is "
                   "not null) as d order by hashint4(id) limit %s", (ALONE + BATCHES * BATCH,))
    return [user for user, in cursor.fetchall()]


def _statements(rule: str) -> dict[str, str]:
    """As the deriver prepares them: what comes first, and the rule within its upsert."""
    found = {"rule": _read("write.sql").replace("{rule}", _read(f"{rule}.sql"))}
    if rule == "p":
        found["first"] = _read("p_first.sql")
    return found


def _derive(cursor, rule: str, users: list[int]) -> float:
    """Milliseconds, with the way to the server and back."""
    listed = sorted(users)
    begin = time.perf_counter()
    if rule == "p":
        cursor.execute("execute first (%s::bigint[])", (listed,))
    cursor.execute("execute rule (%s::bigint[], %s)", (listed, rule))
    return 1000 * (time.perf_counter() - begin)


def _read(name: str) -> str:
    with open(os.path.join(CHALLENGES, name), encoding="utf-8") as text:
        return text.read()
