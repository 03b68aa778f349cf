-- Step 4: from which block Tidemark makes users dirty, when that is not "now": give the block up to
-- which the old job has derived, as nobody has seen the rows after it. `migrate` keeps what stands.
--   psql -d app -v block=95000000 -f sql/cutover/2_from.sql
\set ON_ERROR_STOP on
insert into public.indexing_checkpoints (tablename, last_checkpoint)
select 'challenges:' || c.id || ':last_blocknumber', :block
  from public.challenges as c
 where c.id in ('m', 'r', 'rv', 'rd', 'u', 'fp', 'p', 'cs') and c.active
    on conflict (tablename) do nothing;
select * from public.indexing_checkpoints where tablename like 'challenges:%' order by tablename;
