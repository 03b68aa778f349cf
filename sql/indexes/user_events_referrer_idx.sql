-- Rules r and rv ask whom a referrer brought; most events have none.
create index concurrently if not exists user_events_referrer_idx
  on public.user_events (referrer) where referrer is not null
