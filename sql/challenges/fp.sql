-- fp, first playlist: the user has made a playlist or an album, private ones too.
-- Reads playlists(playlist_owner_id, is_current, is_delete, blocknumber): one from before
-- starting_block (or in no block) doesn't count; challenges(starting_block, active).
select u.user_id, to_hex(u.user_id) as specifier, 1 as current_step_count, true as is_complete,
       made.blocknumber as completed_blocknumber
  from (select distinct id::integer as user_id from unnest($1::bigint[]) as id) as u
  join public.challenges as c on c.id = 'fp' and c.active
 cross join lateral (
       select min(p.blocknumber) as blocknumber
         from public.playlists as p
        where p.playlist_owner_id = u.user_id and p.is_current and not p.is_delete
          and p.blocknumber >= coalesce(c.starting_block, 0)
       having count(*) > 0) as made
