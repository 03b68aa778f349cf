-- The triggers on watched tables that count, too: beside Tidemark each change would count twice.
-- $1: watched tables, $2: tables of counts, both as text[] with their schema. Gives (table_name,
-- trigger_name, function_name, writes), by table and trigger; nothing when all is well.
--
-- A trigger is found by the text of its function and of all functions that this calls: writes says
-- that one of them inserts into, updates or deletes from a table of counts; otherwise it is only
-- named, read perhaps, or written by dynamic SQL: look at it. Not seen are counts that another
-- language, a rule, or a trigger of a third table makes. Disabled triggers are left out.
with recursive functions as (
  select p.oid,
         '\m' || regexp_replace(lower(p.proname), '(\W)', '\\\1', 'g') || '"?\(' as call,
         lower(regexp_replace(regexp_replace(regexp_replace(
           p.prosrc || ' ' || coalesce(pg_get_function_sqlbody(p.oid), ''),
           '--[^\n]*', ' ', 'g'), '/\*.*?\*/', ' ', 'g'), '\s+\(', '(', 'g')) as body
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
   where p.prokind in ('f', 'p') and n.nspname not in ('pg_catalog', 'information_schema')),
triggers as (
  select t.tgrelid, t.tgname, t.tgfoid
    from unnest($1::text[]) as watched (name)
    join pg_catalog.pg_trigger as t on t.tgrelid = to_regclass(watched.name)
   where not t.tgisinternal and t.tgenabled in ('O', 'A')),
reached as (
  select t.tgrelid, t.tgname, t.tgfoid, t.tgfoid as function from triggers as t
  union
  select r.tgrelid, r.tgname, r.tgfoid, callee.oid
    from reached as r
    join functions as caller on caller.oid = r.function
    join functions as callee on caller.body ~ callee.call),
counted as (
  select lower(c.relname) as name
    from unnest($2::text[]) as counts (name)
    join pg_catalog.pg_class as c on c.oid = to_regclass(counts.name))
select r.tgrelid::regclass::text as table_name, r.tgname::text as trigger_name,
       r.tgfoid::regproc::text as function_name,
       bool_or(f.body ~ ('\m(insert\s+into|update|update\s+only|delete\s+from|merge\s+into)\s+'
                         || '("?\w+"?\.)?"?' || c.name || '\M')) as writes
  from reached as r
  join functions as f on f.oid = r.function
  join counted as c on f.body ~ ('\m' || c.name || '\M')
 group by r.tgrelid, r.tgname, r.tgfoid
 order by 1, 2
