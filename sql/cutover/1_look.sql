-- Step 1: what counts and rewards today. Changes nothing. From the repository's root:
--   psql -d app -f sql/cutover/1_look.sql
\set ON_ERROR_STOP on
\set query `cat sql/cutover/counting_triggers.sql`
prepare counting_triggers (text[], text[]) as :query;

\echo 'Triggers that count. Where writes is false, it only names a table of counts: read it.'
execute counting_triggers (
  '{public.follows, public.reposts, public.saves, public.users, public.tracks, public.playlists,
    public.user_events, public.remixes}',
  '{public.aggregate_user, public.aggregate_track, public.aggregate_playlist, public.milestones}');

\echo 'Triggers that tell of rewards, all that there are on these tables.'
select t.tgrelid::regclass as table_name, t.tgname as trigger_name,
       t.tgfoid::regproc as function_name, t.tgenabled <> 'D' as enabled
  from pg_trigger as t
 where not t.tgisinternal and t.tgrelid in (
       'public.user_challenges'::regclass, 'public.challenge_disbursements'::regclass,
       'public.sol_reward_disbursements'::regclass)
 order by 1, 2;

\echo 'How far the old job got, if it notes that here.'
select * from public.indexing_checkpoints order by tablename;
