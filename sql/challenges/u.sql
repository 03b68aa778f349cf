-- u, track upload: tracks that the user has in the open, up to step_count of them.
-- Reads tracks(track_id, owner_id, is_current, is_delete, is_unlisted, stem_of, blocknumber): a
-- stem is a part of another track, and what was uploaded before starting_block (or in no block)
-- doesn't count; challenges(step_count, starting_block, active); user_challenges(challenge_id,
-- specifier, is_complete): nobody gets a row for nothing, but one that is there falls to 0.
-- It is completed by the track that reaches step_count in the order of blocks.
select u.user_id, to_hex(u.user_id) as specifier,
       least(uploaded.tracks, c.step_count) as current_step_count,
       uploaded.tracks >= c.step_count as is_complete,
       uploaded.blocks[c.step_count] as completed_blocknumber
  from (select distinct id::integer as user_id from unnest($1::bigint[]) as id) as u
  join public.challenges as c on c.id = 'u' and c.active
 cross join lateral (
       select count(*)::integer as tracks,
              array_agg(t.blocknumber order by t.blocknumber) as blocks
         from public.tracks as t
        where t.owner_id = u.user_id and t.is_current and not t.is_delete and not t.is_unlisted
          and t.stem_of is null and t.blocknumber >= coalesce(c.starting_block, 0)) as uploaded
 where uploaded.tracks > 0
    or (select not e.is_complete
          from public.user_challenges as e
         where e.challenge_id = 'u' and e.specifier = to_hex(u.user_id))
