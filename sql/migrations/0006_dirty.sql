-- Who is dirty for which challenge rules, and the rules' sweeps (DESIGN 5).

-- A queue: rows come and go. Room on the page keeps repeated marks HOT, and vacuum comes early.
create table tidemark.dirty (
    user_id bigint primary key,
    rules text[] not null,
    swept boolean not null default false,
    marked_at timestamptz not null default pg_catalog.now(),
    attempts integer not null default 0,
    not_before timestamptz,
    error text
) with (
    fillfactor = 70,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0.1,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_threshold = 10000
);
comment on table tidemark.dirty is 'Users whose challenges must be derived again; stored with the offsets of the changes behind it.';
comment on column tidemark.dirty.user_id is 'The user. Who derives holds the row''s lock until what was derived is committed.';
comment on column tidemark.dirty.rules is 'The rules to derive, by name.';
comment on column tidemark.dirty.swept is 'Only a periodic sweep asked for it: what it corrects was missed by the stream, or is on its way.';
comment on column tidemark.dirty.marked_at is 'When the user became dirty.';
comment on column tidemark.dirty.attempts is 'How often a rule failed for this user.';
comment on column tidemark.dirty.not_before is 'Tried again then; null: at once.';
comment on column tidemark.dirty.error is 'The rule that failed last and its SQLSTATE; null: none did.';

create table tidemark.sweeps (
    rule text collate "C" primary key,
    definition bigint not null,
    requested boolean not null default true,
    phase integer,
    at bigint,
    marked bigint not null default 0,
    begun_at timestamptz,
    ended_at timestamptz
) with (fillfactor = 20);
comment on table tidemark.sweeps is 'The declared rules, and how far the walk is that marks their users. It goes on after a restart.';
comment on column tidemark.sweeps.rule is 'The rule''s name.';
comment on column tidemark.sweeps.definition is 'XXH3 of what makes users dirty for it: another definition is swept.';
comment on column tidemark.sweeps.requested is 'A walk must begin: something happened that marks by users can''t tell.';
comment on column tidemark.sweeps.phase is 'Where it is: which source, and which part of it; null: no walk goes on.';
comment on column tidemark.sweeps.at is 'The last block or key there; null: at the beginning.';
comment on column tidemark.sweeps.marked is 'Users that the walk marked so far.';
comment on column tidemark.sweeps.begun_at is 'When the last walk began: the schedule outlives members.';
comment on column tidemark.sweeps.ended_at is 'When the last walk was through.';
