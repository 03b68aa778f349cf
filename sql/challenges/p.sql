-- p, profile completion: how many of the seven steps the user has done; a row even for none.
-- Reads challenge_profile_completion, which p_first.sql has just brought up to date from users,
-- follows, reposts and saves: one place decides the steps. Of users(user_id, is_current, handle_lc,
-- is_deactivated, blocknumber) again who takes part, as the steps of a user who left stand there
-- still; challenges(step_count, active); user_challenges(challenge_id, specifier, is_complete): a
-- completed row is frozen, and nothing is read for it. It is completed by the last of the rows that
-- it takes: the profile, the fifth follow, the first repost, the first save.
select u.user_id, to_hex(u.user_id) as specifier,
       least(done.steps, c.step_count) as current_step_count,
       done.steps >= c.step_count as is_complete,
       case when done.steps >= c.step_count then greatest(
         profile.blocknumber,
         (select (array_agg(f.blocknumber order by f.blocknumber))[5]
            from public.follows as f
           where f.follower_user_id = u.user_id and f.is_current and not f.is_delete),
         (select min(r.blocknumber)
            from public.reposts as r
           where r.user_id = u.user_id and r.is_current and not r.is_delete),
         (select min(s.blocknumber)
            from public.saves as s
           where s.user_id = u.user_id and s.is_current and not s.is_delete))
       end as completed_blocknumber
  from (select distinct id::integer as user_id from unnest($1::bigint[]) as id) as u
  join public.challenges as c on c.id = 'p' and c.active
 cross join lateral (
       select max(a.blocknumber) as blocknumber
         from public.users as a
        where a.user_id = u.user_id and a.is_current and a.handle_lc is not null
          and not a.is_deactivated
       having count(*) > 0) as profile
 cross join lateral (
       select k.profile_description::integer + k.profile_name::integer
              + k.profile_picture::integer + k.profile_cover_photo::integer + k.follows::integer
              + k.favorites::integer + k.reposts::integer as steps
         from public.challenge_profile_completion as k
        where k.user_id = u.user_id
        limit 1) as done
 where (select e.is_complete
          from public.user_challenges as e
         where e.challenge_id = 'p' and e.specifier = to_hex(u.user_id)) is not true
