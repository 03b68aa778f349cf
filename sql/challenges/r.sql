-- r, referral: the users whom an unverified referrer brought, up to step_count of them.
-- Reads user_events(user_id, referrer, is_current, blocknumber): who brought whom; users(user_id,
-- is_current, is_verified): r is for unverified referrers, and for none whose row has not come yet;
-- user_challenges(challenge_id, user_id, specifier, is_complete): a pair that has earned r or rv
-- never earns the other, and what stands counts against the cap; challenges(step_count, active).
-- The users of $1 are the referrers. A completed row is frozen, so only what is new comes out: the
-- first by block, then user, that the cap leaves room for.
select u.user_id, brought.specifier, 1 as current_step_count, true as is_complete,
       brought.blocknumber as completed_blocknumber
  from (select distinct id::integer as user_id from unnest($1::bigint[]) as id) as u
  join public.challenges as c on c.id = 'r' and c.active
 cross join lateral (
       select bool_or(r.is_verified) as verified
         from public.users as r
        where r.user_id = u.user_id and r.is_current) as referrer
 cross join lateral (
       select count(*) as rows
         from public.user_challenges as e
        where e.user_id = u.user_id and e.challenge_id = 'r' and e.is_complete) as earned
 cross join lateral (
       select pair.specifier, pair.blocknumber
         from (select e.user_id, min(e.blocknumber) as blocknumber,
                      to_hex(u.user_id) || ':' || to_hex(e.user_id) as specifier
                 from public.user_events as e
                where e.referrer = u.user_id and e.is_current
                group by e.user_id) as pair
        where not exists (
              select from public.user_challenges as e
               where e.user_id = u.user_id and e.challenge_id in ('r', 'rv') and e.is_complete
                 and e.specifier = pair.specifier)
        order by pair.blocknumber nulls last, pair.user_id
        limit greatest(c.step_count - earned.rows, 0)) as brought
 where not referrer.verified
