-- rd, referred: the user came by a referral.
-- Reads user_events(id, user_id, referrer, is_current, blocknumber): of several current rows the
-- first by block, then id, names the referrer, whoever that is; user_challenges(challenge_id,
-- user_id): a user who holds any row of rd gets no other, also where an older writer named it by
-- the user alone or the referrer has changed since.
select u.user_id, to_hex(u.user_id) || ':' || to_hex(came.referrer) as specifier,
       1 as current_step_count, true as is_complete, came.blocknumber as completed_blocknumber
  from (select distinct id::integer as user_id from unnest($1::bigint[]) as id) as u
 cross join lateral (
       select count(*) as rows
         from public.user_challenges as e
        where e.user_id = u.user_id and e.challenge_id = 'rd') as held
 cross join lateral (
       select (array_agg(e.referrer order by e.blocknumber nulls last, e.id))[1] as referrer,
              min(e.blocknumber) as blocknumber
         from public.user_events as e
        where e.user_id = u.user_id and e.is_current and e.referrer is not null
       having count(*) > 0) as came
 where held.rows = 0
