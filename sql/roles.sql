-- Tidemark's two roles and their rights on the music network's tables. Run once, and again after
-- the tables changed, with psql, in the application's database, as its owner or a superuser:
--
--     psql -v ON_ERROR_STOP=1 -f sql/roles.sql "dbname=app"
--
-- tidemark_migrate makes and owns schema tidemark; tidemark_run is what the service runs as, and
-- gets its rights on that schema from `tidemark migrate --run-role tidemark_run`. Neither can log
-- in by password yet: set one by `\password tidemark_run` (psql sends it hashed), or let
-- pg_hba.conf take another method (cert, scram, peer).
--
-- For another application's tables, what it grants below comes from `tidemark migrate --print-grants`.

do $$
declare
  named text;
begin
  foreach named in array array['tidemark_migrate', 'tidemark_run'] loop
    if not exists (select from pg_roles where rolname = named) then
      begin
        execute format('create role %I login', named);
      exception when duplicate_object or unique_violation then
        null;  -- roles belong to the whole server: made meanwhile, for another database
      end;
    end if;
  end loop;
  execute format('grant connect, create on database %I to tidemark_migrate', current_database());
  execute format('grant connect on database %I to tidemark_run', current_database());
end
$$;

grant usage on schema public to tidemark_run, tidemark_migrate;

-- Grants on the tables that are there: a table that isn't is said, and passed over.
do $$
declare
  item record;
  granted integer := 0;
  absent text[] := '{}';
begin
  for item in
    select * from (values
      -- Watched tables are only read.
      ('public.follows', 'select'),
      ('public.playlists', 'select'),
      ('public.remixes', 'select'),
      ('public.reposts', 'select'),
      ('public.saves', 'select'),
      ('public.tracks', 'select'),
      ('public.user_events', 'select'),
      ('public.users', 'select'),
      -- Challenges: the catalogue is read; progress is written, and the reward triggers on it look
      -- for earlier notifications as this role.
      ('public.challenges', 'select'),
      ('public.indexing_checkpoints', 'select, update'),
      ('public.user_challenges', 'select, insert, update'),
      ('public.challenge_profile_completion', 'select, insert, update'),
      ('public.challenge_listen_streak', 'select'),
      ('public.notification', 'select'),
      -- Of the aggregates only the key, the counters and what is looked up or recounted.
      ('public.aggregate_playlist',
       'select (playlist_id, repost_count, save_count, is_album),
        insert (playlist_id, repost_count, save_count, is_album),
        update (repost_count, save_count, is_album)'),
      ('public.aggregate_track',
       'select (track_id, repost_count, save_count),
        insert (track_id, repost_count, save_count),
        update (repost_count, save_count)'),
      ('public.aggregate_user',
       'select (user_id, track_count, total_track_count, playlist_count, album_count,
                follower_count, following_count, repost_count, track_save_count,
                dominant_genre, dominant_genre_count),
        insert (user_id, track_count, total_track_count, playlist_count, album_count,
                follower_count, following_count, repost_count, track_save_count,
                dominant_genre, dominant_genre_count),
        update (track_count, total_track_count, playlist_count, album_count,
                follower_count, following_count, repost_count, track_save_count,
                dominant_genre, dominant_genre_count)'),
      -- What announces milestones reads the acting user's score, and only adds.
      ('public.aggregate_user', 'select (score)'),
      ('public.milestones', 'insert'),
      ('public.notification', 'insert')
    ) as wanted (table_name, rights)
  loop
    if to_regclass(item.table_name) is null then
      absent := absent || item.table_name;
    else
      granted := granted + 1;
      execute format('grant %s on table %s to tidemark_run', item.rights, item.table_name);
      -- `tidemark rebuild --into` makes tables like these, and looks up what they look up.
      execute format('grant select on table %s to tidemark_migrate', item.table_name);
    end if;
  end loop;
  if granted = 0 then
    raise notice 'roles are made; the rights on your tables: tidemark migrate --print-grants | psql';
  elsif absent <> '{}' then
    raise notice 'nothing granted on tables that are not there: %', array_to_string(absent, ', ');
  end if;
  if to_regclass('public.notification_id_seq') is not null then
    grant usage on sequence public.notification_id_seq to tidemark_run;
  end if;
  if to_regclass('public.indexing_checkpoints') is not null then
    grant insert on public.indexing_checkpoints to tidemark_migrate;  -- `migrate` seeds them
  end if;
end
$$;
