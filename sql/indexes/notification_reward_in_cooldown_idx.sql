-- Each completed challenge asks for its payee's last reward in cooldown. The full index would give
-- all that a user was ever told, and they are read one by one. No fast update: its pending list is
-- read through at each look-up, which after 25,000 rewards took ten times as long.
create index concurrently if not exists notification_reward_in_cooldown_idx
  on public.notification using gin (user_ids)
  with (fastupdate = off) where type = 'reward_in_cooldown'
