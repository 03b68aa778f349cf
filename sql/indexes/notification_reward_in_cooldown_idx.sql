-- Each completed challenge asks for its payee's last reward in cooldown. The full index would give
-- all that a user was ever told, and they are read one by one.
create index concurrently if not exists notification_reward_in_cooldown_idx
  on public.notification using gin (user_ids) where type = 'reward_in_cooldown'
