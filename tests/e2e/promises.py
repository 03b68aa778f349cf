"""What the recount must survive of Postgres itself, and `verify` beside it all.

Each ends with every cell right, nothing suspect, all fences gone, and no drift but what was made by hand.
"""

import contextlib
import json
import time

from ops.stack import wait_until

from kills import is_stopped
from recounts import DRIFT, figures, finish_load, passes, recounting
from world import demand

SELDOM_MS = 3_600_000
XIDS_COME_AGAIN = 1 << 32
XIDS_LEFT = 500        # until 2^32 when the load goes on: some seconds of it
HELD_S = 1.2             # below a batch's lock_timeout
FROZEN_S = 2.0           # below a member's session timeout

BURN = """
create unlogged table public.e2e_burnt (id integer);
do $$ begin
  for i in 1 .. %s loop
    begin insert into public.e2e_burnt values (i); exception when others then raise; end;
  end loop;
end $$;
drop table public.e2e_burnt;
"""


def verdict(world, *arguments):
    answer = world.command("verify", "--json", *arguments)
    demand(answer.code in (0, 1, 75), f"verify ended with {answer.code}: {answer.err}")
    return answer.code, json.loads(answer.out)


def verify_beside_writers(world):
    """Again and again while writers write and passes go round: right. A wrong cell under lag: found, with its size."""
    with recounting(world, 41, pass_every_ms=SELDOM_MS, seconds=12) as load:
        world.wait_recounted()
        cells = lag = 0
        for _ in range(4):
            code, said = verdict(world)
            demand(code == 0 and not said["drift"], f"verify ended with {code}: {said['drift'][:5]}")
            cells, lag = said["cells"], lag + said["records_of_lag"]
        (user,), = world.sql("select user_id from aggregate_user where follower_count > 3 order by 1 limit 1")
        world.sql("update aggregate_user set follower_count = follower_count + %s where user_id = %s", (DRIFT, user))
        code, said = verdict(world)
        found = [(one["counter"], one["key"], one["difference"]) for one in said["drift"]]
        demand(code == 1 and found == [("follower_count", str(user), -DRIFT)], f"verify ended with {code}: {found[:5]}")
        demand(world.command("recount", "--aggregate", "aggregate_user").code == 0, "recount failed")
        counts = load.finish()
        world.wait_streamed()
        world.wait_applied()
        verified = world.verify(drift=[("public.aggregate_user", "follower_count", str(user), -DRIFT)])
        code, said = verdict(world)
        demand(code == 0, f"in the end verify ended with {code}: {said['drift'][:5]}")
        demand(lag > 0, "there was never any lag to take out")
        return f"{cells} cells verified 6 times, {lag} records of lag; {counts}; {verified}"


def near_the_wrap(world):
    """Transaction ids up to some before 2^32; False when they have come again already."""
    (next_xid,), = world.sql("select pg_current_xact_id()::text::bigint")
    if next_xid > XIDS_COME_AGAIN:
        return False
    world.sql(BURN % max(0, XIDS_COME_AGAIN - next_xid - XIDS_LEFT))
    return True


def odd_transactions(world):
    """Ids that come again, prepared ones, one open with subtransactions, an incremental snapshot, another writer's locks:
    all under passes that go round."""
    with recounting(world, 42, seconds=14) as load:
        wrapped = near_the_wrap(world)
        load.run.hold_open()
        with prepared(world):
            before = passes(world)
            world.sql("insert into debezium_signal values ('odd', 'execute-snapshot', %s)",
                      (json.dumps({"type": "incremental", "data-collections": ["public.saves", "public.tracks"]}),))
            hold_rows(world)
            wait_until(lambda: passes(world) > before + 1, 60, "passes go on")
        load.run.release()
        drained = finish_load(world, load)
        (next_xid,), = world.sql("select pg_current_xact_id()::text::bigint")
        demand(next_xid > XIDS_COME_AGAIN, f"the ids did not come again: {next_xid}")
        suspects = sum(member.metrics().get("tidemark_suspects_total", 0) for member in world.members if member.is_live())
        demand(suspects > 0, "the incremental snapshot made nothing suspect")
        return f"ids came again{'' if wrapped else ' before'}; {suspects:.0f} suspects; {figures(world)}; {drained}"


@contextlib.contextmanager
def prepared(world):
    """A prepared transaction with a subtransaction meanwhile; committed in the end."""
    connection = world.stack.postgres.connect(world.name, autocommit=False)
    with connection.cursor() as cursor:
        cursor.execute("update follows set is_delete = not is_delete where is_current and follower_user_id % 11 = 0")
        cursor.execute("savepoint inner_one")
        cursor.execute("delete from reposts where user_id % 13 = 0")
        cursor.execute("prepare transaction 'e2e-odd'")
    connection.close()
    try:
        yield
    finally:
        world.sql("commit prepared 'e2e-odd'")


def hold_rows(world):
    """Another writer holds rows of the aggregates, longer than a slice waits."""
    for _ in range(2):
        holder = world.stack.postgres.connect(world.name, autocommit=False)
        with holder.cursor() as cursor:
            cursor.execute("select 1 from aggregate_user where user_id % 5 = 0 order by user_id for update")
            time.sleep(HELD_S)
            holder.commit()
        holder.close()


def member_frozen_at(point):
    """Folded under old fences, stopped while slices go on, and let go before the group gives its partitions away."""
    def scenario(world):
        with recounting(world, 43, kill=f"{point}:stop:40", armed=1) as load:
            victim = world.members[1]
            wait_until(lambda: is_stopped(victim.process.pid), 40, f"a batch reaches {point}")
            before = passes(world)
            time.sleep(FROZEN_S)
            went_on = passes(world) - before
            victim.sigcont()
            # In the midst of its transaction it holds the turn, and slices wait.
            demand(went_on > 0 or point != "X2", "no pass went on meanwhile")
            drained = finish_load(world, load)
            return f"stopped at {point} for {FROZEN_S} s, {went_on} passes meanwhile; {figures(world)}; {drained}"
    return scenario


SCENARIOS = {
    "verify-beside-writers": verify_beside_writers,
    "recount-odd-transactions": odd_transactions,
    "recount-frozen-x2": member_frozen_at("X2"),
    "recount-frozen-x5": member_frozen_at("X5"),
}
