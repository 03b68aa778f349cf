-- By name, not by place: members may list the counters of one declaration in another order.
alter table tidemark.fences add column booked text[] not null default '{}';
comment on column tidemark.fences.booked is
    'The cells of the declaration then that were not suspect: what the fence skips of them is booked in the ledger.';
alter table tidemark.fences drop column repairs;
-- Of older fences nothing is known: what they skip is no drift.
update tidemark.ledger set suspect = true where not suspect;
