-- Announces that reposts or saves of tracks rose to a threshold (DOMAIN 2, "Milestones").
-- $1: tracks, $2: names, $3: thresholds; of the row that crossed it $4: created_at, $5: blocknumber,
-- $6: slot, $7: the acting user. Nothing for a track without a known owner, nor when the acting user's
-- score is null or below 0; a user without a row yet has score 0.
with announced as (
    select c.id, c.name, c.threshold, c.at, c.block, c.slot, t.owner_id
      from unnest($1::integer[], $2::text[], $3::integer[], $4::timestamp[], $5::integer[],
                  $6::integer[], $7::integer[]) as c(id, name, threshold, at, block, slot, actor)
     cross join lateral (
           select t.owner_id from public.tracks as t where t.track_id = c.id and t.is_current
            order by t.blocknumber desc nulls last, t.txhash limit 1) as t
     where not exists (select from public.aggregate_user as a
                        where a.user_id = c.actor and coalesce(a.score, -1) < 0)
), milestone as (
    insert into public.milestones (id, name, threshold, blocknumber, slot, "timestamp")
    select id, name, threshold, block, slot, at from announced
    on conflict do nothing
)
insert into public.notification (specifier, group_id, type, blocknumber, "timestamp", data, user_ids)
select owner_id::text, 'milestone:' || name || ':id:' || id || ':threshold:' || threshold, 'milestone',
       block, at, jsonb_build_object('type', name, 'track_id', id, 'threshold', threshold),
       array[owner_id]
  from announced
on conflict do nothing
