-- A rebuild into other tables that has not ended (DESIGN 4.6): its offsets, as tidemark.progress has them, and its end.
create table tidemark.rebuilds (
    like tidemark.progress including defaults including constraints including indexes including comments,
    into_schema text not null,
    end_offset bigint not null
) with (fillfactor = 10);
comment on table tidemark.rebuilds is 'How far a rebuild into other tables is: columns as in tidemark.progress. Its rows go when it is through.';
comment on column tidemark.rebuilds.into_schema is 'Where its tables stand.';
comment on column tidemark.rebuilds.end_offset is 'Where it ends: the partition''s end when it began.';
