-- The state of Tidemark, beside the counters and in the same WAL (DESIGN 4.1).
-- Run by `tidemark migrate`, in one transaction, as the migrating role.
-- 64-bit hashes and LSNs stand as bigint with the same bits.
create schema if not exists tidemark;
comment on schema tidemark is 'State of Tidemark: offsets, suspects and parked records. Made by `tidemark migrate`.';

create table if not exists tidemark.migrations (
    version integer primary key,
    name text not null,
    checksum bigint not null,
    applied_at timestamptz not null default pg_catalog.now()
);
comment on table tidemark.migrations is 'Migrations of this schema that were applied, each once.';
comment on column tidemark.migrations.version is 'Counts from 1 without a gap.';
comment on column tidemark.migrations.name is 'The migration''s file name.';
comment on column tidemark.migrations.checksum is 'XXH3 of its text: one that was changed afterwards is refused.';
comment on column tidemark.migrations.applied_at is 'When its transaction began.';

create table tidemark.state (
    only_row boolean primary key default true check (only_row),
    schema_version integer not null,
    group_id text not null,
    declaration_hash text not null,
    created_at timestamptz not null default pg_catalog.now()
);
comment on table tidemark.state is 'What this state belongs to; one row. A member that differs is refused.';
comment on column tidemark.state.only_row is 'Always true: there can be one row only.';
comment on column tidemark.state.schema_version is 'Version of the last migration; a binary that knows fewer refuses to start.';
comment on column tidemark.state.group_id is 'The one Kafka consumer group whose offsets these are.';
comment on column tidemark.state.declaration_hash is 'Hash of what is counted; members with another are refused (rule P5).';
comment on column tidemark.state.created_at is 'When the state was made.';

create table tidemark.counters (
    aggregate text collate "C" not null,
    counter text collate "C" not null,
    definition bigint not null,
    since timestamptz not null default pg_catalog.now(),
    primary key (aggregate, counter)
);
comment on table tidemark.counters is 'Counters of the stored declaration: tells which ones a changed declaration brings anew.';
comment on column tidemark.counters.aggregate is 'Schema and name of the aggregate table.';
comment on column tidemark.counters.counter is 'The counter''s column.';
comment on column tidemark.counters.definition is 'XXH3 of what contributes to it: another definition makes its cells suspect.';
comment on column tidemark.counters.since is 'When it was first declared, or declared otherwise.';

-- Updated by every batch: room on the page keeps the updates HOT, and vacuum comes early.
create table tidemark.progress (
    topic text collate "C" not null,
    partition integer not null,
    next_offset bigint not null check (next_offset >= -1),
    mark_commit bigint,
    mark_lsn bigint,
    seen_at_mark bigint[] not null default '{}',
    fingerprint_offset bigint,
    fingerprint_timestamp bigint,
    fingerprint_key bigint,
    fingerprint_value bigint,
    owner text not null,
    epoch bigint not null,
    data_loss_at timestamptz,
    data_loss_reason text,
    updated_at timestamptz not null default pg_catalog.now(),
    primary key (topic, partition)
) with (
    fillfactor = 20,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_analyze_threshold = 1000000,
    autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_threshold = 200,
    toast.autovacuum_vacuum_scale_factor = 0
);
comment on table tidemark.progress is 'How far each partition has been applied, in the same transaction as its counters.';
comment on column tidemark.progress.topic is 'Kafka topic.';
comment on column tidemark.progress.partition is 'Partition of the topic.';
comment on column tidemark.progress.next_offset is 'The next offset to apply; -1: none yet, the earliest retained comes next.';
comment on column tidemark.progress.mark_commit is 'Highest position seen: LSN of the last commit before it; null: it had none.';
comment on column tidemark.progress.mark_lsn is 'Highest position seen: its LSN; null: no position seen yet.';
comment on column tidemark.progress.seen_at_mark is 'Hashes of (table, primary key, op) of the changes at exactly that position.';
comment on column tidemark.progress.fingerprint_offset is 'Offset of the last applied record; with the next three it recognises a topic that was made anew.';
comment on column tidemark.progress.fingerprint_timestamp is 'That record''s Kafka timestamp, milliseconds since 1970.';
comment on column tidemark.progress.fingerprint_key is 'Hash of that record''s key.';
comment on column tidemark.progress.fingerprint_value is 'Hash of that record''s value.';
comment on column tidemark.progress.owner is 'The member that claimed the partition last.';
comment on column tidemark.progress.epoch is 'Raised by each claim; an older owner''s transactions fail (rule P1).';
comment on column tidemark.progress.data_loss_at is 'When records were found to be gone before they were read; null: never.';
comment on column tidemark.progress.data_loss_reason is 'What was found then.';
comment on column tidemark.progress.updated_at is 'When the last batch or claim began.';

create table tidemark.suspects (
    aggregate text collate "C" not null,
    counter text collate "C" not null,
    key text collate "C" not null,
    cause text not null,
    since timestamptz not null default pg_catalog.now(),
    primary key (aggregate, counter, key)
);
comment on table tidemark.suspects is 'Single counters that may be wrong until they are recounted.';
comment on column tidemark.suspects.aggregate is 'Schema and name of the aggregate table.';
comment on column tidemark.suspects.counter is 'The counter''s column.';
comment on column tidemark.suspects.key is 'The aggregate row''s key, as text.';
comment on column tidemark.suspects.cause is 'Why: not_new, parked, negative and so on.';
comment on column tidemark.suspects.since is 'When it became suspect first.';

create table tidemark.suspect_ranges (
    aggregate text collate "C" not null,
    counter text collate "C" not null,
    cause text not null,
    since timestamptz not null default pg_catalog.now(),
    primary key (aggregate, counter)
);
comment on table tidemark.suspect_ranges is 'Counters that may be wrong in every row until they are recounted.';
comment on column tidemark.suspect_ranges.aggregate is 'Schema and name of the aggregate table.';
comment on column tidemark.suspect_ranges.counter is 'The counter''s column.';
comment on column tidemark.suspect_ranges.cause is 'Why: truncate, data_loss, new_counter and so on.';
comment on column tidemark.suspect_ranges.since is 'When they became suspect first.';

create table tidemark.parked (
    topic text collate "C" not null,
    partition integer not null,
    "offset" bigint not null,
    record_timestamp bigint not null,
    code text not null,
    reason text not null,
    key bytea,
    payload bytea,
    payload_bytes bigint not null,
    parked_at timestamptz not null default pg_catalog.now(),
    primary key (topic, partition, "offset")
);
comment on table tidemark.parked is 'Records that could not be taken, in the transaction that went past them.';
comment on column tidemark.parked.topic is 'Kafka topic.';
comment on column tidemark.parked.partition is 'Partition of the topic.';
comment on column tidemark.parked."offset" is 'The record''s offset.';
comment on column tidemark.parked.record_timestamp is 'The record''s Kafka timestamp, milliseconds since 1970.';
comment on column tidemark.parked.code is 'Why, in one word: bad_json and so on.';
comment on column tidemark.parked.reason is 'Why, in words; never holds values.';
comment on column tidemark.parked.key is 'The record''s key, its first 64 KiB; null: it had none.';
comment on column tidemark.parked.payload is 'The record''s value, its first 64 KiB; null: it had none.';
comment on column tidemark.parked.payload_bytes is 'The value''s length before the cut.';
comment on column tidemark.parked.parked_at is 'When it was put aside.';
