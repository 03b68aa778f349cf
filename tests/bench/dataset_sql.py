"""The rows of the kept data set: how many of each table, and the statements that make them.

Everything is a function of a row's number, so two sets of one scale are equal. Few users have most
of the follows, and few items most of the saves; ids are scattered, as hot rows don't stand side by
side in a real table, and so are the rows of one user over the pages.
"""

import dataclasses
import math
from fractions import Fraction

VERSION = 1  # of these statements: a set of another version is made anew
FIRST_BLOCK = 96_000_000  # above every starting_block of the catalogue
DEGREE_MAX = 3_000        # rows of one table that one user has, at most
FULL = {"users": 3_200_000, "tracks": 1_900_000, "playlists": 300_000, "follows": 26_000_000,
        "saves": 10_000_000, "reposts": 6_000_000, "user_events": 2_300_000,
        "notification": 23_500_000, "remixes": 95_000, "blocks": 200_000}
# They scatter ranks over ids: prime, and larger than any number of ids.
SPREAD_USERS, SPREAD_ITEMS = 2_038_074_743, 1_999_999_973


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many rows each table has at a scale."""
    users: int
    tracks: int
    playlists: int
    follows: int
    saves: int
    reposts: int
    user_events: int
    notification: int
    remixes: int
    blocks: int

    @classmethod
    def at(cls, scale: Fraction) -> "Sizes":
        return cls(**{table: max(100, int(rows * scale)) for table, rows in FULL.items()})

    @property
    def last_block(self) -> int:
        return FIRST_BLOCK + self.blocks - 1

    @property
    def current_events(self) -> int:
        return self.user_events * 4 // 5


def user_of(rank: str, sizes: Sizes) -> str:
    return f"(1 + ({rank})::bigint * {SPREAD_USERS} % {sizes.users})::integer"


def item_of(rank: str, rows: int) -> str:
    return f"(1 + ({rank})::bigint * {SPREAD_ITEMS} % {rows})::integer"


def _chance(number: str) -> str:
    """From 0 to 1, the same for the same number."""
    return f"((hashint8({number}) & 1048575) / 1048576.0::float8)"


def _block(number: str, sizes: Sizes) -> str:
    return f"({FIRST_BLOCK} + ({number})::bigint % {sizes.blocks})::integer"


def _edges(rows: int, others: int) -> str:
    """Rows (r, k, f, n): the user of rank r has its k-th edge, to the other of rank f.

    Rank r has so many `edges / r`, and they come round by round, so that a user's rows lie
    far apart. The k-th of d edges goes to the k-th stratum, and strata grow by a power of three:
    others of low rank have most, and no user has one twice.
    """
    degree_max = min(DEGREE_MAX, max(1, others // 4))
    edges = math.ceil(rows / sum(1 / k for k in range(1, degree_max + 1)))
    degree = f"least({degree_max}, {edges} / r)"
    number = f"(r * {DEGREE_MAX + 1}::bigint + k)"
    return f"""
    (select e.r, e.k, e.n,
            e.k - 1 + floor(({others} - e.d) * e.x * e.x * e.x)::bigint as f
       from (select r, k, {number} as n, {degree} as d, (k - 1 + {_chance(number)}) / {degree} as x
               from generate_series(1, {degree_max}) as k
              cross join lateral generate_series(1, {edges} / k) as r) as e) as e"""


_HASH = "'0x' || lpad(to_hex(e.r), 32, '0') || lpad(to_hex(e.k), 32, '0')"
_WHEN = "timestamp '2019-01-01' + e.n * 7919 % 200000000 * interval '1 second'"


def _follows(sizes: Sizes) -> str:
    return f"""
    insert into follows (follower_user_id, followee_user_id, is_current, is_delete, created_at,
                         txhash, blocknumber)
    select {user_of('e.r', sizes)}, {user_of('e.f + 17', sizes)}, e.n % 31 <> 0, e.n % 13 = 0,
           {_WHEN}, {_HASH}, {_block('e.n * 31', sizes)}
      from {_edges(sizes.follows, sizes.users)}"""


def _marked(table: str, rows: int, sizes: Sizes) -> str:
    """Saves and reposts: of tracks, one in eight of a playlist, some of these albums."""
    word = table.removesuffix("s")
    kind = (f"case when e.n % 40 = 7 then 'album' when e.n % 8 = 7 then 'playlist' "
            f"else 'track' end::{word}type")
    item = (f"case when e.n % 8 = 7 then {item_of('e.f', sizes.playlists)} "
            f"else {item_of('e.f', sizes.tracks)} end")
    return f"""
    insert into {table} (user_id, {word}_item_id, {word}_type, is_current, is_delete, created_at,
                         txhash, blocknumber)
    select {user_of('e.r * 3', sizes)}, {item}, {kind}, e.n % 31 <> 0, e.n % 13 = 0, {_WHEN},
           {_HASH}, {_block('e.n * 37', sizes)}
      from {_edges(rows, sizes.tracks)}"""


def _users(sizes: Sizes) -> str:
    return f"""
    insert into users (user_id, is_current, handle, handle_lc, name, bio, profile_picture,
                       profile_picture_sizes, cover_photo, is_verified, is_deactivated, blocknumber,
                       created_at, updated_at, wallet, txhash)
    select n, true, 'User' || n, case when n % 50 <> 3 then 'user' || n end,
           case when n % 5 < 3 then 'Name of ' || n end,
           case when n % 4 = 0 then repeat('words of a bio ', 6) end,
           case when n % 2 = 0 then 'picture' || lpad(to_hex(n), 40, '0') end,
           case when n % 10 = 1 then 'sizes' || lpad(to_hex(n), 40, '0') end,
           case when n % 4 < 2 then 'cover' || lpad(to_hex(n), 40, '0') end, n % 100 = 5,
           n % 50 = 7, {_block('n', sizes)},
           timestamp '2019-01-01' + n * interval '1 minute', now() at time zone 'UTC',
           '0x' || lpad(to_hex(n), 40, '0'), '0x' || lpad(to_hex(n), 64, '0')
      from generate_series(1, {sizes.users}) as n
    union all
    select n * 10, false, 'User' || n * 10, 'user' || n * 10, null, null, null, null, null, false,
           false, {_block('n', sizes)}, '2019-01-01', '2019-01-01', null,
           '0xold' || lpad(to_hex(n), 61, '0')
      from generate_series(1, {sizes.users // 10}) as n"""


def _user_events(sizes: Sizes) -> str:
    """Of each user one current row at most; some have an older one. A third was referred."""
    skewed = f"floor({sizes.users} * {_chance('n')} * {_chance('n')} * {_chance('n')})"
    return f"""
    insert into user_events (user_id, referrer, is_mobile_user, is_current, blocknumber)
    select {user_of('n', sizes)}, case when n % 3 = 0 then {user_of(skewed, sizes)} end,
           n % 5 < 2, current, {_block('n * 41', sizes)}
      from (select n, false as current
              from generate_series(1, {sizes.user_events - sizes.current_events}) as n
             union all
            select n, true from generate_series(1, {sizes.current_events}) as n) as e"""


def _tracks(sizes: Sizes) -> str:
    genre = "case when e.n % 23 <> 0 then 'Genre ' || (e.n * 7 + e.k) % 30 end"
    return f"""
    insert into tracks (track_id, owner_id, is_current, is_delete, is_unlisted, is_available, genre,
                        stem_of, created_at, updated_at, blocknumber, txhash)
    select e.track_id::integer, {user_of('e.r * 7', sizes)}, true, e.n % 10 = 1, e.n % 10 = 2,
           e.n % 100 <> 3, {genre},
           case when e.n % 50 = 4 then '{{"parent_track_id": 1}}'::jsonb end,
           {_WHEN}, {_WHEN}, {_block('e.n * 43', sizes)}, {_HASH}
      from (select e.*, row_number() over () as track_id
              from {_edges(sizes.tracks, sizes.tracks)}) as e"""


def _playlists(sizes: Sizes) -> str:
    return f"""
    insert into playlists (playlist_id, playlist_owner_id, is_album, is_private, is_current,
                           is_delete, created_at, blocknumber, txhash)
    select n, {user_of('n * 11', sizes)}, n % 4 = 0, n % 7 = 0, true, n % 12 = 0,
           timestamp '2020-01-01' + n * interval '1 minute', {_block('n * 47', sizes)},
           '0x' || lpad(to_hex(n), 64, '0')
      from generate_series(1, {sizes.playlists}) as n"""


def _remixes(sizes: Sizes) -> str:
    return f"""
    insert into remixes
    select {item_of('n % 30000', sizes.tracks)}, {item_of('n * 3 + 1', sizes.tracks)}
      from generate_series(1, {sizes.remixes}) as n on conflict do nothing"""


def _notification(sizes: Sizes) -> str:
    """Most are of follows, reposts and saves; one in 25 is a reward in cooldown."""
    payee = user_of(f"floor({sizes.users} * {_chance('n')} * {_chance('n')})", sizes)
    return f"""
    insert into notification (specifier, group_id, type, blocknumber, "timestamp", data, user_ids)
    select n::text, kind || ':' || n % 1000003 || ':id:' || n, kind, {_block('n', sizes)},
           timestamp '2021-01-01' + n * interval '5 seconds',
           jsonb_build_object('type', kind, 'user_id', n % 1000003), array[payee]
      from (select n, {payee} as payee,
                   (array['follow', 'repost', 'save', 'follow', 'save', 'repost', 'follow',
                          'milestone', 'claimable_reward', 'challenge_reward', 'follow',
                          'reward_in_cooldown'])
                     [1 + case when n % 25 = 0 then 11 else n % 11 end] as kind
              from generate_series(1, {sizes.notification}::bigint) as n) as e"""


def _blocks(sizes: Sizes) -> str:
    return f"""
    insert into blocks select 'block' || n, {FIRST_BLOCK} + n
      from generate_series(0, {sizes.blocks - 1}) as n"""


def loads(sizes: Sizes) -> list[tuple[str, str]]:
    """(table, statement), those that take longest first; none needs another."""
    return [("notification", _notification(sizes)), ("follows", _follows(sizes)),
            ("saves", _marked("saves", sizes.saves, sizes)),
            ("reposts", _marked("reposts", sizes.reposts, sizes)), ("users", _users(sizes)),
            ("tracks", _tracks(sizes)), ("user_events", _user_events(sizes)),
            ("playlists", _playlists(sizes)), ("blocks", _blocks(sizes)),
            ("remixes", _remixes(sizes))]


# What users hold of challenges, as the rules would have given it; p of each fourth user only.
# They need the tables and aggregates above, and are made in this order.
_BY_EVENTS = """
insert into user_challenges (challenge_id, user_id, specifier, is_complete, current_step_count,
                             completed_blocknumber, amount, created_at, completed_at)
select 'm', user_id, to_hex(user_id), true, 1, blocknumber, 1, timestamptz '2024-01-01',
       timestamp '2024-01-01'
  from user_events where is_current and is_mobile_user
union all
select 'rd', user_id, to_hex(user_id) || ':' || to_hex(referrer), true, 1, blocknumber, 1,
       timestamptz '2024-01-01', timestamp '2024-01-01'
  from user_events where is_current and referrer is not null
union all
select case when e.is_verified then 'rv' else 'r' end, e.referrer,
       to_hex(e.referrer) || ':' || to_hex(e.user_id), true, 1, e.blocknumber, 1,
       timestamptz '2024-01-01', timestamp '2024-01-01'
  from (select v.*, u.is_verified,
               row_number() over (partition by v.referrer order by v.blocknumber, v.user_id) as nth
          from user_events as v join users as u on u.user_id = v.referrer and u.is_current
         where v.is_current and v.referrer is not null) as e
 where e.nth <= case when e.is_verified then 5000 else 5 end"""
_BY_WORKS = """
insert into user_challenges (challenge_id, user_id, specifier, is_complete, current_step_count,
                             completed_blocknumber, amount, created_at, completed_at)
select 'u', owner_id, to_hex(owner_id), count(*) >= 3, least(count(*), 3),
       (array_agg(blocknumber order by blocknumber))[3], 1,
       timestamptz '2024-01-01',
       case when count(*) >= 3 then timestamp '2024-01-01' end
  from tracks where is_current and not is_delete and not is_unlisted and stem_of is null
 group by owner_id
union all
select 'fp', playlist_owner_id, to_hex(playlist_owner_id), true, 1, min(blocknumber), 2,
       timestamptz '2024-01-01', timestamp '2024-01-01'
  from playlists where is_current and not is_delete group by playlist_owner_id"""
_PROFILES = """
insert into challenge_profile_completion
select u.user_id, u.bio is not null, u.name is not null,
       u.profile_picture is not null or u.profile_picture_sizes is not null,
       u.cover_photo is not null or u.cover_photo_sizes is not null, a.following_count >= 5,
       s.user_id is not null, a.repost_count >= 1
  from users as u join aggregate_user as a using (user_id)
  left join (select distinct user_id from saves
              where is_current and not is_delete) as s using (user_id)
 where u.is_current and u.handle_lc is not null and not u.is_deactivated and u.user_id % 4 = 0"""
_BY_PROFILES = f"""
insert into user_challenges (challenge_id, user_id, specifier, is_complete, current_step_count,
                             completed_blocknumber, amount, created_at, completed_at)
select 'p', user_id, to_hex(user_id), steps = 7, steps, case when steps = 7 then {FIRST_BLOCK} end,
       1, timestamptz '2024-01-01', case when steps = 7 then timestamp '2024-01-01' end
  from (select user_id, profile_description::integer + profile_name::integer
               + profile_picture::integer + profile_cover_photo::integer + follows::integer
               + favorites::integer + reposts::integer as steps
          from challenge_profile_completion) as p"""
CHALLENGES = [("user_challenges", [_BY_EVENTS, _BY_WORKS]),
              ("challenge_profile_completion", [_PROFILES]), ("user_challenges", [_BY_PROFILES])]
