-- Step 5: from the application's triggers to Tidemark's, in one transaction, by the tables' owner.
-- What is disabled is noted, so that 9_back.sql enables exactly that. Can be run again.
--   psql -d app -f sql/cutover/3_switch.sql
-- Takes a lock on each table for a moment; when a long transaction is in the way it gives up after
-- five seconds and has changed nothing.
\set ON_ERROR_STOP on
\set query `cat sql/cutover/counting_triggers.sql`
prepare counting_triggers (text[], text[]) as :query;
begin;
set local lock_timeout = '5s';
create table if not exists public.tidemark_disabled_triggers (
  table_name text not null,
  trigger_name text not null,
  disabled_at timestamptz not null default now(),
  primary key (table_name, trigger_name)
);
comment on table public.tidemark_disabled_triggers is
  'Triggers that Tidemark replaces, disabled by sql/cutover/3_switch.sql.';

create temporary table counting on commit drop as execute counting_triggers (
  '{public.follows, public.reposts, public.saves, public.users, public.tracks, public.playlists,
    public.user_events, public.remixes}',
  '{public.aggregate_user, public.aggregate_track, public.aggregate_playlist, public.milestones}');
-- By the same query: what writes notifications of rewards.
create temporary table rewarding on commit drop as execute counting_triggers (
  '{public.user_challenges, public.challenge_disbursements, public.sol_reward_disbursements}',
  '{public.notification}');

do $$
declare
  item record;
begin
  for item in
    select table_name, trigger_name from pg_temp.counting where writes
    union
    select table_name, trigger_name from pg_temp.rewarding
     where writes and trigger_name not like 'tidemark%'
    order by 1, 2
  loop
    execute format('alter table %s disable trigger %I',
                   item.table_name::regclass, item.trigger_name);
    insert into public.tidemark_disabled_triggers (table_name, trigger_name)
    values (item.table_name, item.trigger_name) on conflict do nothing;
    raise notice 'disabled % on %', item.trigger_name, item.table_name;
  end loop;
end
$$;

\ir ../rewards/challenges.sql
\ir ../rewards/disbursements.sql
commit;
