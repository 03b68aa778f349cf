-- Each disbursement asks for its payee's last reward; as notification_reward_in_cooldown_idx.
create index concurrently if not exists notification_challenge_reward_idx
  on public.notification using gin (user_ids)
  with (fastupdate = off) where type = 'challenge_reward'
