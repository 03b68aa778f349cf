-- cs, co-sign: a verified artist reposts or saves a remix of a track of their own; the remix's
-- owner is paid, for at most five a month of one artist.
-- Reads users(user_id, is_current, is_verified); tracks(track_id, owner_id, is_current): the
-- artist's, and the remixes of these (current ones, deleted or not); remixes(parent_track_id,
-- child_track_id); reposts, saves(user_id, the item, its type, is_current, is_delete, blocknumber);
-- user_challenges(challenge_id, specifier, is_complete, completed_at, created_at): what stands is
-- frozen, and counts against the cap for 30 days; challenges(active).
-- The users of $1 are the artists. Their tracks and these' remixes are fewer than their reposts and
-- saves, so the search starts there.
select remix.owner_id as user_id, remix.specifier, 1 as current_step_count, true as is_complete,
       remix.blocknumber as completed_blocknumber
  from (select distinct id::integer as user_id from unnest($1::bigint[]) as id) as u
  join public.challenges as c on c.id = 'cs' and c.active
 cross join lateral (
       select bool_or(a.is_verified) as verified
         from public.users as a
        where a.user_id = u.user_id and a.is_current) as artist
 cross join lateral (
       select count(*) as rows
         from public.user_challenges as e
        where e.challenge_id = 'cs' and split_part(e.specifier, ':', 1) = to_hex(u.user_id)
          and coalesce(e.completed_at at time zone 'UTC', e.created_at) > now() - interval '30 days'
       ) as recent
 cross join lateral (
       select signed.specifier, signed.owner_id, signed.blocknumber
         from (select child.track_id, min(child.owner_id) as owner_id,
                      min(marked.blocknumber) as blocknumber,
                      to_hex(u.user_id) || ':' || to_hex(child.track_id) as specifier
                 from public.tracks as parent
                 join public.remixes as x on x.parent_track_id = parent.track_id
                 join public.tracks as child on child.track_id = x.child_track_id
                cross join lateral (
                      select r.blocknumber
                        from public.reposts as r
                       where r.user_id = u.user_id and r.repost_item_id = child.track_id
                         and r.repost_type = 'track' and r.is_current and not r.is_delete
                      union all
                      select s.blocknumber
                        from public.saves as s
                       where s.user_id = u.user_id and s.save_item_id = child.track_id
                         and s.save_type = 'track' and s.is_current and not s.is_delete) as marked
                where parent.owner_id = u.user_id and parent.is_current and child.is_current
                group by child.track_id) as signed
        where not exists (
              select from public.user_challenges as e
               where e.challenge_id = 'cs' and e.specifier = signed.specifier and e.is_complete)
        order by signed.blocknumber nulls last, signed.track_id
        limit greatest(5 - recent.rows, 0)) as remix
 where artist.verified
