-- The genre of which a user has most tracks in the open (the tracks of track_count), and how many.
-- $1: users. Of two genres with as many tracks the one with the latest track wins, then the first
-- by name, bytewise; null is a genre like any other, and the last. A user without a track: no row.
select distinct on (t.owner_id)
       t.owner_id as user_id, t.genre as dominant_genre, count(*) as dominant_genre_count
  from public.tracks as t
 where t.owner_id in (select unnest($1::integer[]))
   and t.is_current and not t.is_delete and t.is_available and t.stem_of is null
   and not t.is_unlisted
 group by t.owner_id, t.genre
 order by t.owner_id, count(*) desc, max(t.created_at) desc nulls last,
          t.genre collate "C" nulls last
