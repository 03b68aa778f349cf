-- Replays that an operator began and that have not ended (DESIGN 4.6).
create table tidemark.replays (
    topic text collate "C" not null,
    partition integer not null,
    started_from text not null,
    first_offset bigint not null,
    next_offset bigint not null,
    end_offset bigint not null,
    started_at timestamptz not null default pg_catalog.now(),
    updated_at timestamptz not null default pg_catalog.now(),
    primary key (topic, partition)
) with (fillfactor = 10);
comment on table tidemark.replays is 'How far replays are that have not ended: a row goes when its replay is through.';
comment on column tidemark.replays.topic is 'Kafka topic.';
comment on column tidemark.replays.partition is 'Its partition.';
comment on column tidemark.replays.started_from is 'What the operator asked for: beginning, an offset or a time. Only the same goes on with it.';
comment on column tidemark.replays.first_offset is 'Where it began, for the estimate.';
comment on column tidemark.replays.next_offset is 'Where it goes on; -1: at the earliest retained record.';
comment on column tidemark.replays.end_offset is 'Where it ends: the partition''s end when it began.';
comment on column tidemark.replays.started_at is 'When it began.';
comment on column tidemark.replays.updated_at is 'When its last batch was stored.';
