-- The counts of followers. A pass and `verify` count by key, and rows of one key lie all over the
-- table: by this index they read none of them, as long as the table is vacuumed.
create index concurrently if not exists follows_followee_counted_idx
  on public.follows (followee_user_id) where is_current and not is_delete
