-- The saves that a user made; as follows_followee_counted_idx.
create index concurrently if not exists saves_user_counted_idx
  on public.saves (user_id, save_type) where is_current and not is_delete
