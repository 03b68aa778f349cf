"""The statements of traffic.py: what the music network's writer sends, each for a batch of rows given as arrays."""


class Relation:
    """Statements for one of follows, reposts, saves. A pair is (actor, item, type); follows ignores the type."""

    def __init__(self, table, actor, item, kind=None, enum=None, flag=None):
        self.table, self.kind = table, kind
        self.columns = [actor, item] + ([kind] if kind else [])
        kinds = f", %(kinds)s::{enum}[]" if kind else ""
        names = "actor, item" + (", kind" if kind else "")
        self.pairs = f"unnest(%(actors)s::int[], %(items)s::int[]{kinds}, %(hashes)s::text[]) p({names}, txhash)"
        match = f"t.{actor} = p.actor and t.{item} = p.item" + (f" and t.{kind} = p.kind" if kind else "")
        self.match = match
        cols = ", ".join(self.columns)
        values = ", ".join("p." + n for n in names.split(", "))
        old = ", ".join("old." + c for c in self.columns)
        flag_column, flag_value, flag_old = (f", {flag}", ", random() < 0.1", f", old.{flag}") if flag else ("", "", "")
        self.insert = f"""insert into {table} ({cols}, is_current, is_delete, created_at, txhash, blocknumber, blockhash, slot{flag_column})
            select {values}, true, false, now() at time zone 'utc', p.txhash, %(block)s, %(blockhash)s, %(slot)s{flag_value} from {self.pairs}
            where not exists (select from {table} t where {match} and t.is_current)"""
        self.toggle = f"""update {table} t set is_delete = not t.is_delete, txhash = p.txhash, blocknumber = %(block)s,
            blockhash = %(blockhash)s, slot = %(slot)s from {self.pairs} where {match} and t.is_current"""
        self.noop = f"update {table} t set is_delete = t.is_delete from {self.pairs} where {match} and t.is_current"
        self.soft_delete = f"""update {table} t set is_delete = true, slot = %(slot)s from {self.pairs}
            where {match} and t.is_current and not t.is_delete"""
        self.hard_delete = f"delete from {table} t using {self.pairs} where {match}"
        self.demote = f"""with old as (update {table} t set is_current = false from {self.pairs} where {match} and t.is_current
                returning t.*, p.txhash as new_txhash)
            insert into {table} ({cols}, is_current, is_delete, created_at, txhash, blocknumber, blockhash, slot{flag_column})
            select {old}, true, not old.is_delete, now() at time zone 'utc', old.new_txhash, %(block)s, %(blockhash)s, %(slot)s{flag_old} from old"""
        self.absent = f"""select {names} from {self.pairs} where not exists (select from {table} t where {match})"""


RELATIONS = {
    "follows": Relation("follows", "follower_user_id", "followee_user_id"),
    "reposts": Relation("reposts", "user_id", "repost_item_id", "repost_type", "reposttype", "is_repost_of_repost"),
    "saves": Relation("saves", "user_id", "save_item_id", "save_type", "savetype", "is_save_of_repost"),
}
WATCHED = ("reposts", "saves", "follows", "user_events", "users", "tracks", "playlists", "remixes")

# In-place changes of the owned entities; with or without a new txhash, which is in each primary key.
TRACK_CHANGES = (
    "is_unlisted = not is_unlisted", "is_available = not is_available", "is_delete = not is_delete",
    "owner_id = %(owner)s", "genre = %(genre)s",
    "stem_of = case when stem_of is null then '{\"category\": \"INSTRUMENTAL\", \"parent_track_id\": 1}'::jsonb end",
)
PLAYLIST_CHANGES = (
    "is_private = not is_private", "is_album = not is_album", "is_delete = not is_delete", "playlist_owner_id = %(owner)s",
)
USER_CHANGES = (
    "bio = case when bio is null then 'a bio' end", "is_verified = not is_verified", "is_deactivated = not is_deactivated",
    "profile_picture_sizes = 'Qm1', updated_at = now() at time zone 'utc'", "name = name || '.'", "cover_photo = 'Qm2'",
)
USERS_INSERT = """insert into users (user_id, is_current, handle, handle_lc, name, bio, profile_picture_sizes, cover_photo_sizes,
        is_verified, blocknumber, created_at, updated_at, wallet, txhash)
    select id, true, 'User' || id, 'user' || id, 'User ' || id, case when id %% 3 > 0 then 'bio' end,
        case when id %% 2 = 0 then 'Qm' end, case when id %% 5 > 0 then 'Qm' end, id %% 50 = 0, %(block)s,
        now() at time zone 'utc', now() at time zone 'utc', '0xW' || id, txhash
    from unnest(%(ids)s::int[], %(hashes)s::text[]) n(id, txhash)
    where not exists (select from users u where u.user_id = id and u.is_current)"""
TRACKS_INSERT = """insert into tracks (track_id, owner_id, is_current, is_delete, is_unlisted, is_available, genre, stem_of,
        remix_of, created_at, updated_at, blocknumber, txhash)
    select id, owner, true, false, id %% 10 = 7, id %% 40 <> 11, genre,
        case when id %% 15 = 4 then '{"category": "OTHER", "parent_track_id": 1}'::jsonb end,
        case when id %% 12 = 5 then '{"tracks": [{"parent_track_id": 2}]}'::jsonb end,
        now() at time zone 'utc' - id * interval '1 second', now() at time zone 'utc', %(block)s, txhash
    from unnest(%(ids)s::int[], %(owners)s::int[], %(genres)s::text[], %(hashes)s::text[]) n(id, owner, genre, txhash)
    where not exists (select from tracks t where t.track_id = id and t.is_current)"""
REMIXES_INSERT = """insert into remixes (parent_track_id, child_track_id)
    select 1 + (id * 7) %% 50, id from unnest(%(ids)s::int[]) n(id) where id %% 12 = 5 on conflict do nothing"""
PLAYLISTS_INSERT = """insert into playlists (playlist_id, playlist_owner_id, is_album, is_private, is_current, is_delete,
        created_at, blocknumber, txhash)
    select id, owner, id %% 3 = 0, id %% 8 = 1, true, false, now() at time zone 'utc', %(block)s, txhash
    from unnest(%(ids)s::int[], %(owners)s::int[], %(hashes)s::text[]) n(id, owner, txhash)
    where not exists (select from playlists p where p.playlist_id = id and p.is_current)"""
USER_EVENTS_INSERT = """insert into user_events (user_id, referrer, is_mobile_user, is_current, blocknumber, slot)
    select id, nullif(referrer, 0), id %% 2 = 0, true, %(block)s, %(slot)s
    from unnest(%(ids)s::int[], %(referrers)s::int[]) n(id, referrer)
    where not exists (select from user_events e where e.user_id = id and e.is_current)"""
USER_EVENTS_DEMOTE = """with old as (update user_events set is_current = false
        where user_id = any(%(ids)s) and is_current returning *)
    insert into user_events (user_id, referrer, is_mobile_user, is_current, blocknumber, slot)
    select user_id, referrer, is_mobile_user or random() < 0.5, true, %(block)s, %(slot)s from old"""
# Columns of the owned entities that a demoted row's successor takes over as they are.
KEPT = {
    "users": """user_id, handle, handle_lc, name, bio, profile_picture, profile_picture_sizes, cover_photo, cover_photo_sizes,
        is_deactivated, is_available, created_at, wallet""",
    "tracks": "track_id, is_delete, is_available, genre, stem_of, remix_of, created_at",
    "playlists": "playlist_id, is_album, is_delete, created_at",
}
CHANGED = {  # and those that differ in the successor
    "users": ("is_verified, updated_at", "not is_verified, now() at time zone 'utc'"),
    "tracks": ("owner_id, is_unlisted, updated_at", "%(owner)s, not is_unlisted, now() at time zone 'utc'"),
    "playlists": ("playlist_owner_id, is_private", "%(owner)s, not is_private"),
}
ID_COLUMN = {"users": "user_id", "tracks": "track_id", "playlists": "playlist_id"}


def demote_entity(table):
    names, values = CHANGED[table]
    return f"""with old as (update {table} set is_current = false where {ID_COLUMN[table]} = any(%(ids)s) and is_current returning *)
        insert into {table} ({KEPT[table]}, {names}, is_current, blocknumber, txhash)
        select {KEPT[table]}, {values}, true, %(block)s, txhash || 'd' from old"""
