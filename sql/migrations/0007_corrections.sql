-- What periodic sweeps correct: drift, unless the events behind it were on their way (DESIGN 5, C3).
alter table tidemark.sweeps add column repair boolean not null default true;
comment on column tidemark.sweeps.repair is 'The last walk was asked for, by lost data or a new definition: what it corrects is no drift.';

create table tidemark.corrections (
    id bigint generated always as identity primary key,
    rule text collate "C" not null,
    users bigint[] not null,
    specifier text not null,
    was jsonb,
    became jsonb not null,
    inserted bigint not null,
    offsets jsonb,
    corrected_at timestamptz not null default pg_catalog.now()
);
comment on table tidemark.corrections is 'Rows of challenges that only a periodic sweep set right: a change that marks its user explains one, what remains is drift.';
comment on column tidemark.corrections.id is 'In the order in which they were corrected.';
comment on column tidemark.corrections.rule is 'The rule and challenge.';
comment on column tidemark.corrections.users is 'Whose change would explain it: mostly one user.';
comment on column tidemark.corrections.specifier is 'The row of public.user_challenges, with the rule.';
comment on column tidemark.corrections.was is 'The row before; null: there was none.';
comment on column tidemark.corrections.became is 'The row as it was derived.';
comment on column tidemark.corrections.inserted is 'LSN that the source''s log had reached: what the rule saw lies below it.';
comment on column tidemark.corrections.offsets is 'The stored offsets then, as evidence.';
comment on column tidemark.corrections.corrected_at is 'When.';

alter table tidemark.drift alter column fence drop not null, add column was jsonb, add column became jsonb;
comment on column tidemark.drift.aggregate is 'Schema and name of the aggregate table, or public.user_challenges.';
comment on column tidemark.drift.counter is 'The counter''s column, or the challenge.';
comment on column tidemark.drift.key is 'The aggregate row''s key, or the challenge row''s specifier, as text.';
comment on column tidemark.drift.fence is 'The fence of the recount that corrected it; null: a sweep did.';
comment on column tidemark.drift.was is 'The challenge''s row before the sweep; null: there was none, or it is a cell.';
comment on column tidemark.drift.became is 'The challenge''s row as the sweep derived it; null: it is a cell.';
