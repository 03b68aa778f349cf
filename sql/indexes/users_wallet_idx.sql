-- The reward of a disbursement goes to the user of its wallet, which is written in either case.
create index concurrently if not exists users_wallet_idx
  on public.users (lower(wallet)) where is_current
