-- A slice takes some keys and all their counters off the list: without this it reads the whole list.
create index suspects_key_idx on tidemark.suspects (aggregate, key);
