-- The recounter's state: turns, fences, the ledger of differences, drift and passes (DESIGN 4.4 to 4.6).
-- Transaction ids and LSNs stand as bigint with the same bits.
alter table tidemark.suspect_ranges add column not_before bigint, add column pass bigint;
comment on column tidemark.suspect_ranges.not_before is 'Recounted once all transactions up to this id have ended; null: at once.';
comment on column tidemark.suspect_ranges.pass is 'The pass that began after it and recounts it; null: none yet.';

alter table tidemark.progress
    add column touch_below bigint not null default 0,
    add column touch_until bigint not null default 0;
comment on column tidemark.progress.touch_below is 'Changes at lower offsets only make cells suspect: the database''s history changed (rule F8).';
comment on column tidemark.progress.touch_until is 'Changes with an LSN up to this only make cells suspect: partitions were added (rule N3).';

-- Read by every batch, written by every slice.
create table tidemark.turn (
    only_row boolean primary key default true check (only_row),
    version bigint not null default 0,
    history text,
    started boolean not null default false,
    pass_at timestamptz
) with (
    fillfactor = 10,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_analyze_threshold = 1000000
);
insert into tidemark.turn default values;
comment on table tidemark.turn is 'Whose turn it is: batches share an advisory lock, a recount slice has it alone (rule F3). One row.';
comment on column tidemark.turn.only_row is 'Always true: there can be one row only.';
comment on column tidemark.turn.version is 'Random, new with each slice: fences are read again when it is another.';
comment on column tidemark.turn.history is 'System identifier and timeline of the database that fences and marks belong to (rule F8).';
comment on column tidemark.turn.started is 'Whether a member ever claimed a partition: before, nothing was counted.';
comment on column tidemark.turn.pass_at is 'When the last periodic pass began: the schedule outlives members.';

create table tidemark.fences (
    id bigint generated always as identity primary key,
    aggregate text collate "C" not null,
    key_from text collate "C",
    key_to text collate "C",
    listed text[],
    except_keys text[] not null default '{}',
    snapshot text not null,
    next_id bigint not null,
    inserted bigint not null,
    restart bigint not null,
    repairs text not null,
    offsets jsonb,
    made_at timestamptz not null default pg_catalog.now()
);
comment on table tidemark.fences is 'Recounts that still have changes on their way: what their snapshot saw is skipped for their keys.';
comment on column tidemark.fences.id is 'A later recount of the same key has a higher one.';
comment on column tidemark.fences.aggregate is 'Schema and name of the aggregate table.';
comment on column tidemark.fences.key_from is 'First key of the range; null: from the beginning.';
comment on column tidemark.fences.key_to is 'First key after the range; null: to the end.';
comment on column tidemark.fences.listed is 'Just these keys instead of a range.';
comment on column tidemark.fences.except_keys is 'Keys of the range that another writer held.';
comment on column tidemark.fences.snapshot is 'The counting snapshot, as pg_snapshot''s text.';
comment on column tidemark.fences.next_id is 'A transaction id given out after it.';
comment on column tidemark.fences.inserted is 'LSN of the source''s log after it.';
comment on column tidemark.fences.restart is 'Every change below this LSN was seen; 0: not known of any.';
comment on column tidemark.fences.repairs is 'Per counter 1 when its cells were suspect, else 0.';
comment on column tidemark.fences.offsets is 'The stored offsets at the recount, as evidence.';
comment on column tidemark.fences.made_at is 'When.';

create table tidemark.topics (
    topic text collate "C" primary key,
    partitions integer not null,
    touch_until bigint not null default 0,
    repartitioned_at timestamptz
);
comment on table tidemark.topics is 'Topics that are read, to notice that partitions were added: a redelivered key may come on another one (rule N3).';
comment on column tidemark.topics.topic is 'Kafka topic.';
comment on column tidemark.topics.partitions is 'How many partitions it had when it was looked at last.';
comment on column tidemark.topics.touch_until is 'As progress.touch_until, for partitions that are yet to be claimed.';
comment on column tidemark.topics.repartitioned_at is 'When partitions were found to have been added; null: never.';

create table tidemark.ledger (
    aggregate text collate "C" not null,
    counter text collate "C" not null,
    key text collate "C" not null,
    remaining bigint not null,
    expected bigint,
    suspect boolean not null,
    fence bigint not null,
    primary key (aggregate, counter, key)
);
create index ledger_fence on tidemark.ledger (fence);
comment on table tidemark.ledger is 'What recounts changed and skipped changes have not yet explained, per cell: lag comes to 0, drift stays.';
comment on column tidemark.ledger.aggregate is 'Schema and name of the aggregate table.';
comment on column tidemark.ledger.counter is 'The counter''s column.';
comment on column tidemark.ledger.key is 'The aggregate row''s key, as text.';
comment on column tidemark.ledger.remaining is 'Recounted minus found, minus the changes skipped since.';
comment on column tidemark.ledger.expected is 'What the last recount counted; null: it found the cell right.';
comment on column tidemark.ledger.suspect is 'The cell was suspect meanwhile: what remains is a repair.';
comment on column tidemark.ledger.fence is 'The newest fence that it waits for.';

create table tidemark.drift (
    id bigint generated always as identity primary key,
    aggregate text collate "C" not null,
    counter text collate "C" not null,
    key text collate "C" not null,
    expected bigint,
    found bigint,
    difference bigint not null,
    fence bigint not null,
    recounted_at timestamptz,
    found_at timestamptz not null default pg_catalog.now(),
    offsets jsonb
);
comment on table tidemark.drift is 'Cells that were wrong for another reason than lag, and by how much. A healthy system adds nothing.';
comment on column tidemark.drift.id is 'In the order in which they were found.';
comment on column tidemark.drift.aggregate is 'Schema and name of the aggregate table.';
comment on column tidemark.drift.counter is 'The counter''s column.';
comment on column tidemark.drift.key is 'The aggregate row''s key, as text.';
comment on column tidemark.drift.expected is 'What the recount counted; null: not known for a cell that it found right.';
comment on column tidemark.drift.found is 'What the cell would have been without the drift''s correction.';
comment on column tidemark.drift.difference is 'Expected minus found.';
comment on column tidemark.drift.fence is 'The fence of the recount that corrected it.';
comment on column tidemark.drift.recounted_at is 'When that was.';
comment on column tidemark.drift.found_at is 'When all changes that the recount saw had arrived, and the difference stayed.';
comment on column tidemark.drift.offsets is 'The stored offsets at the recount.';

create table tidemark.passes (
    id bigint generated always as identity primary key,
    cause text not null,
    aggregates text[] not null,
    at_aggregate integer not null default 1,
    next_key text collate "C",
    slices bigint not null default 0,
    cells bigint not null default 0,
    corrected bigint not null default 0,
    started_at timestamptz not null default pg_catalog.now(),
    ended_at timestamptz
);
comment on table tidemark.passes is 'Walks over whole aggregates. At most one has not ended; it goes on after a restart.';
comment on column tidemark.passes.id is 'In the order in which they began.';
comment on column tidemark.passes.cause is 'schedule, suspect or command.';
comment on column tidemark.passes.aggregates is 'What it walks over, in this order.';
comment on column tidemark.passes.at_aggregate is 'Where it is: index into aggregates, from 1.';
comment on column tidemark.passes.next_key is 'Where it goes on there; null: at the beginning.';
comment on column tidemark.passes.slices is 'Slices so far.';
comment on column tidemark.passes.cells is 'Rows compared so far.';
comment on column tidemark.passes.corrected is 'Cells written so far: lag, repairs and drift.';
comment on column tidemark.passes.started_at is 'When it began.';
comment on column tidemark.passes.ended_at is 'When it was through; null: it is going on.';
