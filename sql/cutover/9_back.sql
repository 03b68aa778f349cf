-- The way back: from Tidemark to the application's triggers, without a change that counts twice or
-- not at all. Writers of the watched tables wait while it runs: seconds, when the stream is near
-- its end. Members run when it begins.
--   psql -d app -f sql/cutover/9_back.sql
\set ON_ERROR_STOP on
begin;
set local lock_timeout = '5s';
lock table public.follows, public.reposts, public.saves, public.users, public.tracks,
           public.playlists, public.user_events, public.remixes in share row exclusive mode;
\echo 'Writers wait now. When `tidemark status` shows no lag and no suspects, stop all members,'
\prompt 'then press Enter (Ctrl-C takes everything back): ' ready
drop trigger if exists tidemark_reward_challenge on public.user_challenges;
drop trigger if exists tidemark_reward_disbursement on public.challenge_disbursements;
drop trigger if exists tidemark_reward_sol_disbursement on public.sol_reward_disbursements;
do $$
declare
  item record;
begin
  for item in select table_name, trigger_name from public.tidemark_disabled_triggers order by 1, 2
  loop
    execute format('alter table %s enable trigger %I',
                   item.table_name::regclass, item.trigger_name);
    raise notice 'enabled % on %', item.trigger_name, item.table_name;
  end loop;
end
$$;
drop table public.tidemark_disabled_triggers;
commit;
\echo 'Start the old jobs again; they go on from their own checkpoints.'
