-- Who was told what: look-ups by user_ids @> array[user]; an element's equality can't use it.
create index concurrently if not exists notification_user_ids_idx
  on public.notification using gin (user_ids)
