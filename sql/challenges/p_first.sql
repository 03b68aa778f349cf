-- Before p, in its transaction: which of the seven steps of a profile the user has done.
-- Reads users(user_id, is_current, handle_lc, is_deactivated, name, bio, profile_picture,
-- profile_picture_sizes, cover_photo, cover_photo_sizes): only a user with a handle who isn't
-- deactivated takes part; follows, reposts, saves(the user's column, is_current, is_delete): five,
-- one and one that are active; user_challenges(challenge_id, specifier, is_complete): once the
-- challenge is complete its steps are frozen with it; challenges(active).
insert into public.challenge_profile_completion as kept (
       user_id, profile_description, profile_name, profile_picture, profile_cover_photo, follows,
       favorites, reposts)
select u.user_id, profile.bio, profile.name, profile.picture, profile.cover,
       (select count(*) = 5
          from (select from public.follows as f
                 where f.follower_user_id = u.user_id and f.is_current and not f.is_delete
                 limit 5) as five),
       (select count(*) = 1
          from (select from public.saves as s
                 where s.user_id = u.user_id and s.is_current and not s.is_delete
                 limit 1) as one),
       (select count(*) = 1
          from (select from public.reposts as r
                 where r.user_id = u.user_id and r.is_current and not r.is_delete
                 limit 1) as one)
  from (select distinct id::integer as user_id from unnest($1::bigint[]) as id) as u
  join public.challenges as c on c.id = 'p' and c.active
 cross join lateral (
       select bool_or(a.bio is not null) as bio,
              bool_or(a.name is not null) as name,
              bool_or(a.profile_picture is not null or a.profile_picture_sizes is not null)
                as picture,
              bool_or(a.cover_photo is not null or a.cover_photo_sizes is not null) as cover
         from public.users as a
        where a.user_id = u.user_id and a.is_current and a.handle_lc is not null
          and not a.is_deactivated
       having count(*) > 0) as profile
 where (select e.is_complete
          from public.user_challenges as e
         where e.challenge_id = 'p' and e.specifier = to_hex(u.user_id)) is not true
 order by u.user_id
    on conflict (user_id) do update
   set profile_description = excluded.profile_description,
       profile_name = excluded.profile_name,
       profile_picture = excluded.profile_picture,
       profile_cover_photo = excluded.profile_cover_photo,
       follows = excluded.follows,
       favorites = excluded.favorites,
       reposts = excluded.reposts
 where (kept.profile_description, kept.profile_name, kept.profile_picture,
        kept.profile_cover_photo, kept.follows, kept.favorites, kept.reposts)
       is distinct from (excluded.profile_description, excluded.profile_name,
                         excluded.profile_picture, excluded.profile_cover_photo, excluded.follows,
                         excluded.favorites, excluded.reposts)
