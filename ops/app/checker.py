#!/usr/bin/python3
"""The independent checker: are the counters what the source tables say?

It shares no code and no declaration with Tidemark. Each rule below is written out by hand from the application's own
description of its counters, and evaluated by Postgres in one REPEATABLE READ READ ONLY snapshot, so that sources and
aggregates are seen at the same instant. An aggregate row that is absent, or a null count, reads as 0.

It says the truth only when the stream has caught up: a change that is still on its way shows as a difference.
Not checked: score (another writer's).

usage: checker.py --dsn DSN      prints up to 20 differing cells, then `cells checked: N, cells different: M`
exit:  0 when M = 0 and N > 0; 1 when cells differ or there was none; 2 when it could not check
module: check(dsn, recounted=True) -> Result(checked, different, differences); recounted: also what only a recount keeps
"""
import argparse
import dataclasses
import sys

import psycopg2

SHOWN_MAX = 20


@dataclasses.dataclass(frozen=True)
class Difference:
    table: str
    key: int
    column: str
    expected: object
    found: object

    def __str__(self):
        return f"{self.table} {self.key} {self.column}: expected {self.expected}, found {self.found}"


@dataclasses.dataclass(frozen=True)
class Result:
    checked: int
    different: int
    differences: list  # the first SHOWN_MAX of each table

    @property
    def good(self):
        return self.checked > 0 and self.different == 0


# What each count column must be: column -> select (key, count). One entry a cell of the table of counters.
ACTIVE = "is_current and not is_delete"
AGGREGATE_USER = {
    "following_count": f"select follower_user_id, count(*) from follows where {ACTIVE} group by 1",
    "follower_count": f"select followee_user_id, count(*) from follows where {ACTIVE} group by 1",
    "repost_count": f"select user_id, count(*) from reposts where {ACTIVE} group by 1",
    "track_save_count": f"select user_id, count(*) from saves where {ACTIVE} and save_type = 'track' group by 1",
    "total_track_count": f"""select owner_id, count(*) from tracks
        where {ACTIVE} and is_available and stem_of is null group by 1""",
    "track_count": f"""select owner_id, count(*) from tracks
        where {ACTIVE} and is_available and stem_of is null and not is_unlisted group by 1""",
    "playlist_count": f"""select playlist_owner_id, count(*) from playlists
        where {ACTIVE} and not is_private and not is_album group by 1""",
    "album_count": f"""select playlist_owner_id, count(*) from playlists
        where {ACTIVE} and not is_private and is_album group by 1""",
}
AGGREGATE_TRACK = {
    "repost_count": f"""select repost_item_id, count(*) from reposts
        where {ACTIVE} and repost_type = 'track' group by 1""",
    "save_count": f"select save_item_id, count(*) from saves where {ACTIVE} and save_type = 'track' group by 1",
}
# A user may hold a playlist row and an album row for one item: both count.
AGGREGATE_PLAYLIST = {
    "repost_count": f"""select repost_item_id, count(*) from reposts
        where {ACTIVE} and repost_type in ('playlist', 'album') group by 1""",
    "save_count": f"""select save_item_id, count(*) from saves
        where {ACTIVE} and save_type in ('playlist', 'album') group by 1""",
}
COUNTS = [
    ("aggregate_user", "user_id", AGGREGATE_USER),
    ("aggregate_track", "track_id", AGGREGATE_TRACK),
    ("aggregate_playlist", "playlist_id", AGGREGATE_PLAYLIST),
]

# is_album follows the current playlists row, once both rows exist. Should an id have several current rows that disagree
# (the application does not do this), either is right.
IS_ALBUM = """
with wanted as (
    select playlist_id, bool_or(is_album) as any_album, bool_and(is_album) as all_album
    from playlists where is_current group by playlist_id),
compared as materialized (
    select playlist_id as key, w.any_album as expected, a.is_album as found,
           a.is_album is null or not (a.is_album = w.any_album or a.is_album = w.all_album) as differs
    from aggregate_playlist a join wanted w using (playlist_id))
select null::int, null::text, count(*)::text, (count(*) filter (where differs))::text from compared
union all
(select key, 'is_album', expected::text, coalesce(found::text, 'null') from compared where differs order by key limit %(shown)s)
"""

# Over the tracks in track_count, by genre: most tracks, then the latest, then the name by bytes, null last; a null genre is
# one like any other. Without such a track both are null, and so they are in a row that is absent.
DOMINANT_GENRE = f"""
with genres as (
    select owner_id, genre, count(*) as tracks, row_number() over (
        partition by owner_id order by count(*) desc, max(created_at) desc, genre collate "C" asc nulls last) as place
    from tracks where {ACTIVE} and is_available and stem_of is null and not is_unlisted group by owner_id, genre),
cells as (
    select coalesce(a.user_id, g.owner_id) as key, c.name, c.expected, c.found
    from aggregate_user a full join (select * from genres where place = 1) g on g.owner_id = a.user_id
    cross join lateral (values ('dominant_genre', g.genre::text, a.dominant_genre::text),
                               ('dominant_genre_count', g.tracks::text, a.dominant_genre_count::text)) c(name, expected, found)),
compared as materialized (select *, expected is distinct from found as differs from cells)
select null::int, null::text, count(*)::text, (count(*) filter (where differs))::text from compared
union all
(select key, name, coalesce(expected, 'null'), coalesce(found, 'null') from compared where differs
 order by name, key limit %(shown)s)
"""


def counts_query(table, key, columns):
    """One row of totals (key null), then the differing cells: key, column, expected, found."""
    expected = "\nunion all\n".join(f"select s.key, '{name}'::text, s.n from ({sql}) s(key, n)" for name, sql in columns.items())
    found = ", ".join(f"('{name}', {name})" for name in columns)
    names = ", ".join(f"('{name}')" for name in columns)
    return f"""
with expected(key, name, n) as materialized ({expected}),
found(key, name, n) as materialized (
    select a.{key}, c.name, c.n from {table} a cross join lateral (values {found}) c(name, n)),
cells(key, name) as (
    select k.key, c.name from (select key from expected union select {key} from {table}) k
    cross join (values {names}) c(name)),
compared as materialized (
    select key, name, coalesce(e.n, 0) as expected, coalesce(f.n, 0) as found
    from cells left join expected e using (key, name) left join found f using (key, name))
select null::int, null::text, count(*)::bigint, count(*) filter (where expected <> found) from compared
union all
(select key, name, expected, found from compared where expected <> found order by name, key limit %(shown)s)
"""


def check(dsn, recounted=True):
    """Compares every cell in one snapshot. Throws psycopg2.Error when it cannot."""
    connection = psycopg2.connect(dsn, application_name="checker")
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection, connection.cursor() as cursor:
            # Groups of unknown size are joined here: hash, whatever the statistics say.
            cursor.execute("set local enable_nestloop = off; set local search_path = public; set local work_mem = '64MB'; "
                           "set local jit = off")
            queries = [(table, counts_query(table, key, columns)) for table, key, columns in COUNTS]
            queries.append(("aggregate_playlist", IS_ALBUM))
            if recounted:
                queries.append(("aggregate_user", DOMINANT_GENRE))
            checked, different, differences = 0, 0, []
            for table, query in queries:
                cursor.execute(query, {"shown": SHOWN_MAX})
                for key, name, expected, found in cursor:
                    if key is None:
                        checked += int(expected)
                        different += int(found)
                    else:
                        differences.append(Difference(table, key, name, expected, found))
            return Result(checked, different, differences)
    finally:
        connection.close()


def main():
    parser = argparse.ArgumentParser(description="Recomputes every counter from the source tables and compares.")
    parser.add_argument("--dsn", required=True, help="libpq connection string of the application's database")
    arguments = parser.parse_args()
    try:
        result = check(arguments.dsn)
    except psycopg2.Error as error:
        print(f"checker: cannot check: {str(error).strip()}", file=sys.stderr)
        return 2
    for difference in result.differences[:SHOWN_MAX]:
        print(difference)
    print(f"cells checked: {result.checked}, cells different: {result.different}")
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
