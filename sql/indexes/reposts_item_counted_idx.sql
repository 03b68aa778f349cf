-- The reposts of tracks and playlists; as follows_followee_counted_idx.
create index concurrently if not exists reposts_item_counted_idx
  on public.reposts (repost_item_id, repost_type) where is_current and not is_delete
