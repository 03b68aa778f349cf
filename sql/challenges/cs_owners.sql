-- Whom a repost or save of a remix concerns in cs: the owners of the tracks that it is a remix of.
-- $1: track ids. Reads remixes(child_track_id, parent_track_id) and tracks(track_id, owner_id,
-- is_current). Who reposted doesn't matter here: the rule looks whether it was the owner.
select parent.owner_id
  from unnest($1::bigint[]) as item(track_id)
 cross join lateral (
       select t.owner_id
         from public.remixes as r
         join public.tracks as t on t.track_id = r.parent_track_id and t.is_current
        where r.child_track_id = item.track_id) as parent
