-- Rules r, rv and rd ask what a user holds of a challenge, and sweeps walk it by user.
create index concurrently if not exists user_challenges_user_id_idx
  on public.user_challenges (user_id, challenge_id)
