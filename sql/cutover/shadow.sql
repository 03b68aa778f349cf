-- Step 3: tables of counts beside the application's, for Tidemark to fill while the triggers still
-- count, so that the two can be compared by compare.sql. Changes nothing that is there.
--   psql -d app -f sql/cutover/shadow.sql
\set ON_ERROR_STOP on
begin;
create schema if not exists shadow;
create table if not exists shadow.aggregate_user (like public.aggregate_user including all);
create table if not exists shadow.aggregate_track (like public.aggregate_track including all);
create table if not exists shadow.aggregate_playlist (like public.aggregate_playlist including all);
grant usage on schema shadow to tidemark_run;
grant select, insert, update on all tables in schema shadow to tidemark_run;
commit;
