-- m, mobile install: the user has opened the mobile app.
-- Reads user_events(user_id, is_current, is_mobile_user, blocknumber): the current rows alone say
-- what holds, as older ones are demoted. Nothing else decides it.
select u.user_id, to_hex(u.user_id) as specifier, 1 as current_step_count, true as is_complete,
       installed.blocknumber as completed_blocknumber
  from (select distinct id::integer as user_id from unnest($1::bigint[]) as id) as u
 cross join lateral (
       select min(e.blocknumber) as blocknumber
         from public.user_events as e
        where e.user_id = u.user_id and e.is_current and e.is_mobile_user
       having count(*) > 0) as installed
