-- Milestones that suspect cells crossed: their recount announces them (DOMAIN 2).
create table tidemark.unannounced (
    aggregate text collate "C" not null,
    counter text collate "C" not null,
    key text collate "C" not null,
    value bigint not null,
    primary key (aggregate, counter, key)
);
comment on table tidemark.unannounced is 'Suspect cells whose value rose past a milestone: the next recount announces what it still finds crossed.';
comment on column tidemark.unannounced.aggregate is 'Schema and name of the aggregate table.';
comment on column tidemark.unannounced.counter is 'The counter''s column.';
comment on column tidemark.unannounced.key is 'The aggregate row''s key, as text.';
comment on column tidemark.unannounced.value is 'The lowest value that such a batch found: higher milestones are to be announced.';
