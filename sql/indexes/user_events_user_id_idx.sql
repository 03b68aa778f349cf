-- Rules m and rd ask for the events of a user.
create index concurrently if not exists user_events_user_id_idx
  on public.user_events (user_id)
