-- Rules u and cs, and the counts of tracks, ask for the tracks of a user.
create index concurrently if not exists tracks_owner_id_idx
  on public.tracks (owner_id)
