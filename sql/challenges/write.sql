-- The upsert around a rule, for all of them; C++ puts the rule's text in its place below.
-- $1: users, $2: the challenge's id. Gives the rows that it wrote.
-- A completed row is frozen, and a row that doesn't change isn't written, as each write of a
-- completed row fires the reward trigger. Users ascend, so that derivers lock in one order.
-- An absent or inactive challenge writes nothing.
with wanted as (
{rule}
)
insert into public.user_challenges as stored (
       challenge_id, user_id, specifier, is_complete, current_step_count, completed_blocknumber,
       amount, completed_at)
select c.id, w.user_id, w.specifier, w.is_complete, w.current_step_count,
       w.completed_blocknumber, c.amount::integer,
       case when w.is_complete then now() at time zone 'UTC' end
  from wanted as w
  join public.challenges as c on c.id = $2::text and c.active
 order by w.user_id, w.specifier collate "C"
    on conflict (challenge_id, specifier) do update
   set is_complete = excluded.is_complete,
       current_step_count = excluded.current_step_count,
       completed_blocknumber = excluded.completed_blocknumber,
       amount = excluded.amount,
       completed_at = excluded.completed_at
 where not stored.is_complete
   and (stored.is_complete, stored.current_step_count, stored.completed_blocknumber, stored.amount)
       is distinct from (excluded.is_complete, excluded.current_step_count,
                         excluded.completed_blocknumber, excluded.amount)
returning stored.user_id, stored.specifier, stored.is_complete, stored.xmax = 0 as inserted
