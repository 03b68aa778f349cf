"""The counters by one statement for each aggregate: what a recompute job would run.

Shares nothing with Tidemark's own SQL. The data set is filled by it, and the benchmark of recounts
runs it beside them.
"""

_ACTIVE = "is_current and not is_delete"
_TRACK = f"{_ACTIVE} and is_available and stem_of is null"
_USER_COLUMNS = ("track_count", "total_track_count", "playlist_count", "album_count",
                 "follower_count", "following_count", "repost_count", "track_save_count")
_ITEM_COLUMNS = ("repost_count", "save_count")


def _counted(key: str, columns: tuple, scans: list[tuple[str, str, str, dict[str, str]]]) -> str:
    """One row for each key. A scan is (table, key, rows, {counter: which of them})."""
    parts = []
    for table, of, rows, counters in scans:
        counts = ", ".join(f"count(*) filter (where {counters[column]})" if column in counters
                           else "0" for column in columns)
        parts.append(f"select {of}, {counts} from {table} where {rows} group by {of}")
    sums = ", ".join(f"sum({column})::bigint as {column}" for column in columns)
    return (f"select {key}, {sums} from ({' union all '.join(parts)}) as p ({key}, "
            f"{', '.join(columns)}) group by {key}")


_USER = _counted("user_id", _USER_COLUMNS, [
    ("tracks", "owner_id", _TRACK, {"track_count": "not is_unlisted", "total_track_count": "true"}),
    ("playlists", "playlist_owner_id", f"{_ACTIVE} and not is_private",
     {"playlist_count": "not is_album", "album_count": "is_album"}),
    ("follows", "followee_user_id", _ACTIVE, {"follower_count": "true"}),
    ("follows", "follower_user_id", _ACTIVE, {"following_count": "true"}),
    ("reposts", "user_id", _ACTIVE, {"repost_count": "true"}),
    ("saves", "user_id", f"{_ACTIVE} and save_type = 'track'", {"track_save_count": "true"})])
_ITEM = {kind: _counted(f"{kind}_id", _ITEM_COLUMNS, [
    ("reposts", "repost_item_id", f"{_ACTIVE} and repost_type {test}", {"repost_count": "true"}),
    ("saves", "save_item_id", f"{_ACTIVE} and save_type {test}", {"save_count": "true"})])
    for kind, test in (("track", "= 'track'"), ("playlist", "<> 'track'"))}
_GENRE = f"""(
select distinct on (owner_id) owner_id as user_id, genre as dominant_genre,
       count(*)::integer as dominant_genre_count from tracks
 where {_TRACK} and not is_unlisted group by owner_id, genre
 order by owner_id, count(*) desc, max(created_at) desc, genre collate "C" nulls last)"""
_GENRE_COLUMNS = ("dominant_genre", "dominant_genre_count")


def _rows(keys: str, key: str, counted: str, columns: tuple, genre: bool) -> str:
    """Every key of `keys` with what its columns must be."""
    values = [f"coalesce(c.{column}, 0) as {column}" for column in columns]
    values += [f"g.{column}" for column in _GENRE_COLUMNS] if genre else []
    more = f" left join {_GENRE} as g using ({key})" if genre else ""
    return (f"select k.*, {', '.join(values)} from ({keys}) as k left join ({counted}) as c "
            f"using ({key}){more}")


def _fill(aggregate: str, keys: str, columns: str, key: str, *counted) -> str:
    names = ", ".join((columns, *counted[1], *(_GENRE_COLUMNS if counted[2] else ())))
    return f"insert into {aggregate} ({names}) {_rows(keys, key, *counted)} order by {key}"


def _again(aggregate: str, key: str, *counted) -> str:
    columns = (*counted[1], *(_GENRE_COLUMNS if counted[2] else ()))
    sets, old, new = (", ".join(form.format(column) for column in columns)
                      for form in ("{0} = n.{0}", "a.{0}", "n.{0}"))
    return (f"update {aggregate} as a set {sets} from "
            f"({_rows(f'select {key} from {aggregate}', key, *counted)}) as n "
            f"where n.{key} = a.{key} and row({old}) is distinct from row({new})")


# Of tracks also those that are reposted or saved and don't exist: their rows are there, too.
_TRACKS = """
select track_id from tracks where is_current
union select repost_item_id from reposts where repost_type = 'track'
union select save_item_id from saves where save_type = 'track'"""
# aggregate -> the statement that makes every row
FILL = {
    "aggregate_user": _fill("aggregate_user", "select user_id from users where is_current",
                            "user_id", "user_id", _USER, _USER_COLUMNS, True),
    "aggregate_track": _fill("aggregate_track", _TRACKS, "track_id", "track_id", _ITEM["track"],
                             _ITEM_COLUMNS, False),
    "aggregate_playlist": _fill(
        "aggregate_playlist", "select playlist_id, is_album from playlists where is_current",
        "playlist_id, is_album", "playlist_id", _ITEM["playlist"], _ITEM_COLUMNS, False),
}
# aggregate -> the same as a job that runs again and again: it writes what differs
AGAIN = {
    "aggregate_user": _again("aggregate_user", "user_id", _USER, _USER_COLUMNS, True),
    "aggregate_track": _again("aggregate_track", "track_id", _ITEM["track"], _ITEM_COLUMNS, False),
    "aggregate_playlist": _again("aggregate_playlist", "playlist_id", _ITEM["playlist"],
                                 _ITEM_COLUMNS, False),
}
