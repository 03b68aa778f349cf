-- Rule fp, and the counts of playlists, ask for the playlists of a user.
create index concurrently if not exists playlists_playlist_owner_id_idx
  on public.playlists (playlist_owner_id)
