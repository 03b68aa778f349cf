-- Step 3: where the application's counts and Tidemark's in schema shadow differ, in one snapshot. A
-- row that is absent and a count that is null read as 0. Tidemark's are behind by the stream's lag,
-- so what differs in the same way after a minute is the old system's error.
--   psql -d app -f sql/cutover/compare.sql
\set ON_ERROR_STOP on
with counts as (
  select 'aggregate_user' as aggregate, theirs.side, theirs.user_id as key, cell.name, cell.value
    from (select 'public' as side, u.* from public.aggregate_user as u
          union all
          select 'shadow', u.* from shadow.aggregate_user as u) as theirs
   cross join lateral (values
         ('track_count', track_count), ('total_track_count', total_track_count),
         ('playlist_count', playlist_count), ('album_count', album_count),
         ('follower_count', follower_count), ('following_count', following_count),
         ('repost_count', repost_count), ('track_save_count', track_save_count),
         ('dominant_genre_count', dominant_genre_count)) as cell (name, value)
  union all
  select 'aggregate_track', theirs.side, theirs.track_id, cell.name, cell.value
    from (select 'public' as side, t.* from public.aggregate_track as t
          union all
          select 'shadow', t.* from shadow.aggregate_track as t) as theirs
   cross join lateral (values
         ('repost_count', repost_count), ('save_count', save_count)) as cell (name, value)
  union all
  select 'aggregate_playlist', theirs.side, theirs.playlist_id, cell.name, cell.value
    from (select 'public' as side, p.* from public.aggregate_playlist as p
          union all
          select 'shadow', p.* from shadow.aggregate_playlist as p) as theirs
   cross join lateral (values
         ('repost_count', repost_count), ('save_count', save_count)) as cell (name, value))
select aggregate, key, name as counter,
       coalesce(sum(value) filter (where side = 'public'), 0) as application,
       coalesce(sum(value) filter (where side = 'shadow'), 0) as tidemark
  from counts
 group by aggregate, key, name
having coalesce(sum(value) filter (where side = 'public'), 0)
       <> coalesce(sum(value) filter (where side = 'shadow'), 0)
 order by aggregate, key, name;
