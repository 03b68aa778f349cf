-- What is there of the indexes of sql/indexes; each is named as its file and stands in the schema
-- of its table, public. $1: their names. Gives (name, state):
--   absent   run the file, outside of a transaction
--   invalid  its building failed: `drop index concurrently public.<name>`, then run the file
--   building another session is at it: leave it alone
--   valid    nothing to do
select wanted.name,
       case when i.indexrelid is null then 'absent'
            when i.indisvalid and i.indisready then 'valid'
            when exists (select from pg_catalog.pg_stat_progress_create_index as p
                          where p.datname = pg_catalog.current_database()
                            and p.index_relid = i.indexrelid) then 'building'
            else 'invalid' end as state
  from unnest($1::text[]) as wanted (name)
  left join pg_catalog.pg_class as c
         on c.relname = wanted.name and c.relnamespace = 'public'::regnamespace
  left join pg_catalog.pg_index as i on i.indexrelid = c.oid
 order by wanted.name
