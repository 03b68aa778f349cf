-- Reward notifications for challenges: what a user is told when a challenge is complete.
-- Run by the owner of the application's tables, in any order with the other files here, and again
-- at any time: psql -v ON_ERROR_STOP=1 -f sql/rewards/challenges.sql
-- Functions and triggers are the application's (schema public), as all writers fire them. They see
-- no schema but those that they name: with the extension intarray in sight @> would be its own,
-- which the index doesn't serve.

-- An index that the application made collects new entries in a list, which each look-up reads
-- through: after 25,000 rewards it took ten times as long (sql/indexes). Locks the index for a
-- moment, the first time only.
do $$
declare
  kept regclass := to_regclass('public.notification_reward_in_cooldown_idx');
begin
  if exists (select from pg_class as c
              where c.oid = kept and not coalesce(c.reloptions @> '{fastupdate=off}', false)) then
    execute format('alter index %s set (fastupdate = off)', kept);
    perform gin_clean_pending_list(kept);
  end if;
end $$;

-- Waits for other transactions that reward this user, and is let go at the end of ours. Who looks
-- for an earlier notification calls it first, in a statement of its own: the look-up then sees what
-- the others committed. 1953064037 is "tide", so that the keys meet nobody else's.
create or replace function public.tidemark_lock_payee(payee integer) returns void
language sql volatile set search_path = ''
begin atomic
  select pg_catalog.pg_advisory_xact_lock(1953064037, payee);
end;

create or replace function public.tidemark_reward_challenge() returns trigger
language plpgsql set search_path = '' as $$
declare
  at timestamp := coalesce(new.completed_at, pg_catalog.now() at time zone 'UTC');
  details jsonb := pg_catalog.jsonb_build_object(
    'specifier', new.specifier, 'challenge_id', new.challenge_id, 'amount', new.amount);
  name text := pg_catalog.format('%s:challenge:%s:specifier:%s',
                                 new.user_id, new.challenge_id, new.specifier);
  cooldown_days integer;
begin
  select c.cooldown_days into cooldown_days
    from public.challenges as c where c.id = new.challenge_id;

  if cooldown_days > 0 then
    if new.challenge_id in ('b', 's') then return null; end if;
    perform public.tidemark_lock_payee(new.user_id);
    -- Asks for all such rows, not for the first: to find one of many that it expects, the planner
    -- would rather read the table.
    perform 1 from public.notification as n
      where n.user_ids @> array[new.user_id] and n.type = 'reward_in_cooldown'
        and n."timestamp" >= at - interval '1 hour';
    if found then return null; end if;
    insert into public.notification
           (specifier, group_id, type, blocknumber, "timestamp", data, user_ids)
    values (new.specifier, 'reward_in_cooldown:' || name, 'reward_in_cooldown',
            new.completed_blocknumber, at, details, array[new.user_id])
        on conflict do nothing;
    return null;
  end if;

  if new.challenge_id not in ('tt', 'tp', 'tut', 'dvl') then
    insert into public.notification
           (specifier, group_id, type, blocknumber, "timestamp", data, user_ids)
    values (new.specifier, 'claimable_reward:' || name, 'claimable_reward',
            new.completed_blocknumber, at, details, array[new.user_id])
        on conflict do nothing;
  end if;

  details := details || pg_catalog.jsonb_build_object('amount', new.amount || '00000000');
  if new.challenge_id = 'e' then
    details := details || pg_catalog.jsonb_build_object('listen_streak', coalesce(
      (select s.listen_streak from public.challenge_listen_streak as s
        where s.user_id = new.user_id), 0));
  end if;
  insert into public.notification
         (specifier, group_id, type, blocknumber, "timestamp", data, user_ids)
  values (new.user_id::text, 'challenge_reward:' || name, 'challenge_reward',
          new.completed_blocknumber, at, details, array[new.user_id])
      on conflict do nothing;
  return null;
end $$;

create or replace trigger tidemark_reward_challenge
  after insert or update on public.user_challenges
  for each row when (new.is_complete) execute function public.tidemark_reward_challenge();
