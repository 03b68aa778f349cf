-- Reward notifications for disbursements: what a user is told when a reward was paid out.
-- Needs challenges.sql. Run by the owner of the application's tables, and again at any time:
-- psql -v ON_ERROR_STOP=1 -f sql/rewards/disbursements.sql

-- Tells a user of a payment, unless a reward was told within the hour before it or later.
create or replace function public.tidemark_tell_disbursement(
  payee integer, challenge_id text, specifier text, amount text, slot integer, at timestamp)
returns void language plpgsql set search_path = '' as $$
begin
  perform public.tidemark_lock_payee(payee);
  perform 1 from public.notification as n
    where n.user_ids @> array[payee] and n.type = 'challenge_reward'
      and n."timestamp" >= at - interval '1 hour';
  if found then return; end if;
  insert into public.notification (specifier, group_id, type, slot, "timestamp", data, user_ids)
  values (payee::text,
          pg_catalog.format('challenge_reward:%s:challenge:%s:specifier:%s',
                            payee, challenge_id, specifier),
          'challenge_reward', slot, at,
          pg_catalog.jsonb_build_object('specifier', specifier, 'challenge_id', challenge_id,
                                        'amount', amount),
          array[payee])
      on conflict do nothing;
end $$;

create or replace function public.tidemark_reward_disbursement() returns trigger
language plpgsql set search_path = '' as $$
begin
  -- Payments of other programs bear signatures that the reward manager doesn't know.
  perform 1 from public.reward_manager_txs as t where t.signature = new.signature;
  if not found then return null; end if;
  perform public.tidemark_tell_disbursement(
    new.user_id, new.challenge_id, new.specifier, new.amount, new.slot,
    coalesce(new.created_at, pg_catalog.now() at time zone 'UTC'));
  return null;
end $$;

create or replace function public.tidemark_reward_sol_disbursement() returns trigger
language plpgsql set search_path = '' as $$
declare
  payee integer;
begin
  -- Counted too, so that the wallet's index is used: for the lowest alone the planner might walk
  -- the users in their order.
  select min(u.user_id) into payee
    from public.users as u
   where pg_catalog.lower(u.wallet) = pg_catalog.lower(new.recipient_eth_address) and u.is_current
  having count(*) > 0;
  if payee is null then return null; end if;
  perform public.tidemark_tell_disbursement(
    payee, new.challenge_id, new.specifier, new.amount::text, new.slot,
    coalesce(new.created_at, pg_catalog.now() at time zone 'UTC'));
  return null;
end $$;

create or replace trigger tidemark_reward_disbursement
  after insert on public.challenge_disbursements
  for each row execute function public.tidemark_reward_disbursement();

create or replace trigger tidemark_reward_sol_disbursement
  after insert on public.sol_reward_disbursements
  for each row execute function public.tidemark_reward_sol_disbursement();
