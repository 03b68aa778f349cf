-- The music network's own tables, as its running system has them. Tidemark reads the first half, writes the aggregates,
-- and owns none of it: its own state lives in the schema `tidemark`, made by `tidemark migrate`.
-- Run once, in an empty database, by the application's owner.

create type reposttype as enum ('track', 'playlist', 'album');
create type savetype as enum ('track', 'playlist', 'album');
create type challengetype as enum ('boolean', 'numeric', 'aggregate', 'trending');

-- ---------------------------------------------------------------------------------------------------------------------
-- Source tables. A chain revert deletes a row of blocks, and with it, by cascade, every row that the block wrote.

create table blocks (
    blockhash varchar primary key,
    number integer not null unique
);

-- The writer's upsert changes txhash, which is in the primary key: each toggle of a repost, save or follow is a key change.
create table reposts (
    user_id integer not null,
    repost_item_id integer not null,
    repost_type reposttype not null,
    is_current boolean not null,
    is_delete boolean not null,
    created_at timestamp without time zone not null,
    txhash varchar not null default '',
    blocknumber integer references blocks (number) on delete cascade,
    blockhash varchar,
    slot integer,
    is_repost_of_repost boolean not null default false,
    primary key (user_id, repost_item_id, repost_type, txhash)
);
create index reposts_item_idx on reposts (repost_item_id, repost_type);
create index reposts_blocknumber_idx on reposts (blocknumber);

create table saves (
    user_id integer not null,
    save_item_id integer not null,
    save_type savetype not null,
    is_current boolean not null,
    is_delete boolean not null,
    created_at timestamp without time zone not null,
    txhash varchar not null default '',
    blocknumber integer references blocks (number) on delete cascade,
    blockhash varchar,
    slot integer,
    is_save_of_repost boolean not null default false,
    primary key (user_id, save_item_id, save_type, txhash)
);
create index saves_item_idx on saves (save_item_id, save_type);
create index saves_blocknumber_idx on saves (blocknumber);

create table follows (
    follower_user_id integer not null,
    followee_user_id integer not null,
    is_current boolean not null,
    is_delete boolean not null,
    created_at timestamp without time zone not null,
    txhash varchar not null default '',
    blocknumber integer references blocks (number) on delete cascade,
    blockhash varchar,
    slot integer,
    primary key (follower_user_id, followee_user_id, txhash)
);
create index follows_followee_user_id_idx on follows (followee_user_id);
create index follows_blocknumber_idx on follows (blocknumber);

-- Not unique per user: the old row is demoted (is_current = false) and a new one inserted.
create table user_events (
    id serial primary key,
    user_id integer not null,
    referrer integer,
    is_mobile_user boolean not null default false,
    is_current boolean not null,
    blocknumber integer references blocks (number) on delete cascade,
    blockhash varchar,
    slot integer
);
create index user_events_user_id_idx on user_events (user_id);
create index user_events_referrer_idx on user_events (referrer) where referrer is not null;
create index user_events_blocknumber_idx on user_events (blocknumber);

create table users (
    user_id integer not null,
    is_current boolean not null,
    handle varchar,
    handle_lc varchar,
    name varchar,
    bio varchar,
    profile_picture varchar,
    profile_picture_sizes varchar,
    cover_photo varchar,
    cover_photo_sizes varchar,
    is_verified boolean not null default false,
    is_deactivated boolean not null default false,
    is_available boolean not null default true,
    blocknumber integer references blocks (number) on delete cascade,
    created_at timestamp without time zone not null,
    updated_at timestamp without time zone not null,
    wallet varchar,
    txhash varchar not null default '',
    primary key (user_id, txhash)
);
create index users_user_id_current_idx on users (user_id) where is_current;
create index users_wallet_idx on users (lower(wallet)) where is_current;
create index users_handle_lc_idx on users (handle_lc);
create index users_blocknumber_idx on users (blocknumber);

create table tracks (
    track_id integer not null,
    owner_id integer not null,
    is_current boolean not null,
    is_delete boolean not null,
    is_unlisted boolean not null default false,
    is_available boolean not null default true,
    genre varchar,
    stem_of jsonb,
    remix_of jsonb,
    created_at timestamp without time zone not null,
    updated_at timestamp without time zone not null,
    blocknumber integer references blocks (number) on delete cascade,
    txhash varchar not null default '',
    primary key (track_id, txhash)
);
create index tracks_track_id_current_idx on tracks (track_id) where is_current;
create index tracks_owner_id_idx on tracks (owner_id);
create index tracks_blocknumber_idx on tracks (blocknumber);

create table playlists (
    playlist_id integer not null,
    playlist_owner_id integer not null,
    is_album boolean not null,
    is_private boolean not null,
    is_current boolean not null,
    is_delete boolean not null,
    created_at timestamp without time zone not null,
    blocknumber integer references blocks (number) on delete cascade,
    txhash varchar not null default '',
    primary key (playlist_id, txhash)
);
create index playlists_playlist_id_current_idx on playlists (playlist_id) where is_current;
create index playlists_playlist_owner_id_idx on playlists (playlist_owner_id);
create index playlists_blocknumber_idx on playlists (blocknumber);

create table remixes (
    parent_track_id integer not null,
    child_track_id integer not null,
    primary key (parent_track_id, child_track_id)
);
create index remixes_child_track_id_idx on remixes (child_track_id);

-- Debezium must send the whole row as it was before; without it every change is a suspect and has to be recounted.
alter table reposts replica identity full;
alter table saves replica identity full;
alter table follows replica identity full;
alter table user_events replica identity full;
alter table users replica identity full;
alter table tracks replica identity full;
alter table playlists replica identity full;
alter table remixes replica identity full;

-- ---------------------------------------------------------------------------------------------------------------------
-- Aggregates: half of each page stays free and no count column has an index, so that an update stays on its page (HOT).

create table aggregate_user (
    user_id integer primary key,
    track_count bigint default 0,
    playlist_count bigint default 0,
    album_count bigint default 0,
    follower_count bigint default 0,
    following_count bigint default 0,
    repost_count bigint default 0,
    track_save_count bigint default 0,
    total_track_count bigint default 0,
    supporter_count integer not null default 0,
    supporting_count integer not null default 0,
    dominant_genre varchar,
    dominant_genre_count integer default 0,
    score integer default 0          -- another writer's
) with (fillfactor = 50);

create table aggregate_track (
    track_id integer primary key,
    repost_count integer not null default 0,
    save_count integer not null default 0,
    comment_count integer default 0,  -- another writer's
    share_count integer default 0     -- another writer's
) with (fillfactor = 50);

create table aggregate_playlist (
    playlist_id integer primary key,
    is_album boolean,
    repost_count integer default 0,
    save_count integer default 0
) with (fillfactor = 50);

-- ---------------------------------------------------------------------------------------------------------------------
-- Challenges, rewards, notifications.

create table challenges (
    id varchar primary key,
    type challengetype not null,
    amount varchar not null,
    active boolean not null,
    step_count integer,
    starting_block integer,
    weekly_pool integer,
    cooldown_days integer
);
insert into challenges (id, type, step_count, amount, active, starting_block, cooldown_days) values
    ('p', 'numeric', 7, '1', true, 0, 7),                       -- profile completion
    ('u', 'numeric', 3, '1', true, 25346436, 7),                -- track upload
    ('fp', 'boolean', null, '2', true, 28350000, 7),            -- first playlist
    ('m', 'boolean', null, '1', true, 25346436, 7),             -- mobile install
    ('r', 'aggregate', 5, '1', true, 25346436, 7),              -- referral
    ('rv', 'aggregate', 5000, '1', true, 25346436, 7),          -- verified referral
    ('rd', 'boolean', null, '1', true, 25346436, 7),            -- referred
    ('cs', 'aggregate', 2147483647, '1000', false, 95017582, 7);-- co-sign

create table user_challenges (
    challenge_id varchar not null references challenges (id),
    user_id integer not null,
    specifier varchar not null,
    is_complete boolean not null,
    current_step_count integer,
    completed_blocknumber integer,
    amount integer not null default 0,
    created_at timestamp with time zone default now(),
    completed_at timestamp without time zone,
    primary key (challenge_id, specifier)
);
create index user_challenges_user_id_idx on user_challenges (user_id, challenge_id);
create index user_challenges_completed_blocknumber_idx on user_challenges (completed_blocknumber) where is_complete;

create table challenge_profile_completion (
    user_id integer primary key,
    profile_description boolean not null,
    profile_name boolean not null,
    profile_picture boolean not null,
    profile_cover_photo boolean not null,
    follows boolean not null,
    favorites boolean not null,
    reposts boolean not null
);

create table challenge_listen_streak (
    user_id integer primary key,
    last_listen_date timestamp without time zone,
    listen_streak integer not null default 0
);

create table challenge_disbursements (
    challenge_id varchar not null,
    specifier varchar not null,
    user_id integer not null,
    signature varchar not null,
    slot integer not null,
    amount varchar not null,
    created_at timestamp without time zone default current_timestamp,
    primary key (challenge_id, specifier)
);
create index challenge_disbursements_user_id_idx on challenge_disbursements (user_id);

create table sol_reward_disbursements (
    signature varchar not null,
    instruction_index integer not null,
    amount bigint not null,
    slot integer not null,
    challenge_id varchar not null,
    specifier varchar not null,
    recipient_eth_address varchar not null,
    created_at timestamp without time zone default current_timestamp,
    primary key (signature, instruction_index)
);

create table reward_manager_txs (
    signature varchar primary key
);

create table notification (
    id serial primary key,
    specifier varchar not null,
    group_id varchar not null,
    type varchar not null,
    slot integer,
    blocknumber integer,
    "timestamp" timestamp without time zone not null,
    data jsonb,
    user_ids integer[],
    unique (group_id, specifier)
);
create index notification_user_ids_idx on notification using gin (user_ids);
create index notification_reward_in_cooldown_idx on notification using gin (user_ids) where type = 'reward_in_cooldown';

create table milestones (
    id integer not null,
    name varchar not null,
    threshold integer not null,
    blocknumber integer,
    slot integer,
    "timestamp" timestamp without time zone not null,
    primary key (id, name, threshold)
);

create table indexing_checkpoints (
    tablename varchar primary key,
    last_checkpoint integer not null
);
