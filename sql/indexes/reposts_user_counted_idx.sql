-- The reposts that a user made; as follows_followee_counted_idx.
create index concurrently if not exists reposts_user_counted_idx
  on public.reposts (user_id) where is_current and not is_delete
