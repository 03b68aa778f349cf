-- The saves of tracks and playlists; as follows_followee_counted_idx.
create index concurrently if not exists saves_item_counted_idx
  on public.saves (save_item_id, save_type) where is_current and not is_delete
