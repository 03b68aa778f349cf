-- The counts of who is followed; as follows_followee_counted_idx.
create index concurrently if not exists follows_follower_counted_idx
  on public.follows (follower_user_id) where is_current and not is_delete
