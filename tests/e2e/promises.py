"""What the recount must survive of Postgres itself, and `verify` beside it all.

Each ends with every cell right, nothing suspect, all fences gone, and no drift but what was made by hand.
"""

import contextlib
import json
import signal
import subprocess
import time

import psycopg2
from ops.stack import wait_until

from kills import is_stopped
from observer import Observer
from recounts import (DRIFT, calm, figures, finish_load, passes, rarely_recounted, recount,
                      recounting, slices)
from world import COMMAND_S_MAX, PATIENCE_S, demand

SELDOM_MS = 3_600_000
XIDS_COME_AGAIN = 1 << 32
XIDS_LEFT = 500        # until 2^32 when the load goes on: some seconds of it
HELD_S = 1.2             # below a batch's lock_timeout
SNAPSHOT = ("saves", "tracks")
PLAYLISTS, OWNERS = 2_000, 40
MOVES = 97               # one playlist of so many moves in a transaction
MOVES_S = 12
MOVES_PASS_MS = 6_000    # so that there are moments without a fence
MOVES_PAUSE_S = 0.02     # so that the stream keeps up, and fences go
READINGS_MORE = 3        # after all is calm
BATCH_S = 0.2            # a rebuild's batches are slowed down to this
SMALL_BATCHES = "\n[batch]\nrecords_max = 1000\n"
FROZEN_S_MAX = 45        # and a far longer session: nobody else takes the partitions meanwhile
FROZEN_KAFKA = {"session.timeout.ms": "120000", "max.poll.interval.ms": "120000"}
FROZEN_S = 2.0           # time for others to do what they should not
SLICES_MEANWHILE = 3     # the first may have begun before

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
    """Its exit code, and what it says. It says itself when it is to be tried again."""
    def given():
        answer = world.command("verify", "--json", "--patience", str(PATIENCE_S), *arguments)
        demand(answer.code in (0, 1, 75), f"verify ended with {answer.code}: {answer.err}")
        return answer if answer.code != 75 else None
    answer = wait_until(given, PATIENCE_S, "a verdict of verify")
    return answer.code, json.loads(answer.out)


def verify_beside_writers(world):
    """Again and again while writers write and passes go round: right. A wrong cell under lag: found, with its size."""
    with recounting(world, 41, pass_every_ms=SELDOM_MS, seconds=12) as load:
        world.wait_recounted_once()
        cells = lag = passing = 0
        for _ in range(4):
            code, said = verdict(world)
            demand(code == 0 and not said["drift"], f"verify ended with {code}: {said['drift'][:5]}")
            cells, lag, passing = said["cells"], lag + said["records_of_lag"], passing + said["passing_cells"]
        user = rarely_recounted(world)
        world.sql("update aggregate_user set follower_count = follower_count + %s where user_id = %s", (DRIFT, user))
        code, said = verdict(world)
        found = [(one["counter"], one["key"], one["difference"]) for one in said["drift"]]
        demand(code == 1 and found == [("follower_count", str(user), -DRIFT)], f"verify ended with {code}: {found[:5]}")
        recount(world, "--aggregate", "aggregate_user")
        counts = load.finish()
        world.wait_streamed()
        world.wait_applied()
        verified = world.verify(drift=[("public.aggregate_user", "follower_count", str(user), -DRIFT)])
        code, said = verdict(world)
        demand(code == 0, f"in the end verify ended with {code}: {said['drift'][:5]}")
        demand(lag > 0, "there was never any lag to take out")
        return f"{cells} cells verified 6 times, {lag} records of lag, {passing} cells at a first look only; {counts}; {verified}"


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
                      (json.dumps({"type": "incremental", "data-collections": [f"public.{table}" for table in SNAPSHOT]}),))
            hold_rows(world)
            wait_until(lambda: passes(world) > before + 1, PATIENCE_S, "passes go on")
            wait_until(lambda: snapshot_rows(world), PATIENCE_S, "rows of the incremental snapshot")
        load.run.release()
        drained = finish_load(world, load)
        (next_xid,), = world.sql("select pg_current_xact_id()::text::bigint")
        demand(next_xid > XIDS_COME_AGAIN, f"the ids did not come again: {next_xid}")
        return (f"ids came again{'' if wrapped else ' before'}; {snapshot_rows(world)} rows of an incremental snapshot; "
                f"{figures(world)}; {drained}")


def snapshot_rows(world):
    return sum(1 for table in SNAPSHOT for record in world.client.records(world.topic(table))
               if record.value and json.loads(record.value).get("op") == "r")


@contextlib.contextmanager
def prepared(world):
    """A prepared transaction with a subtransaction meanwhile; committed in the end."""
    connection = world.stack.postgres.connect(world.name, autocommit=False)
    with connection.cursor() as cursor:
        def done():
            try:
                cursor.execute("update follows set is_delete = not is_delete where is_current and follower_user_id % 11 = 0")
                cursor.execute("savepoint inner_one")
                cursor.execute("delete from reposts where user_id % 13 = 0")
                cursor.execute("prepare transaction 'e2e-odd'")
                return True
            except psycopg2.errors.DeadlockDetected:  # with writers
                connection.rollback()
                return False
        wait_until(done, PATIENCE_S, "a prepared transaction")
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
    """Folded under old fences, stopped while slices go on, and let go while its partitions are still its own."""
    def scenario(world):
        with recounting(world, 43, kill=f"{point}:stop:40", armed=1, kafka=FROZEN_KAFKA) as load:
            victim = world.members[1]
            wait_until(lambda: is_stopped(victim.process.pid), PATIENCE_S, f"a batch reaches {point}")
            before, begin = slices(world), time.monotonic()
            if point == "X2":  # its deriver may hold users whom the other's batches mark: for 10 s, then Postgres ends it
                wait_until(lambda: slices(world) >= before + SLICES_MEANWHILE, FROZEN_S_MAX, "slices while it is stopped")
            else:  # in the midst of its transaction it holds the turn, and slices wait
                time.sleep(FROZEN_S)
            went_on, seconds = slices(world) - before, time.monotonic() - begin
            still = world.owners().get(victim.process.pid, 0)
            victim.sigcont()
            demand(still > 0, "its partitions were given away before it went on")
            drained = finish_load(world, load)
            return f"stopped at {point} for {seconds:.1f} s, {went_on} slices meanwhile; {figures(world)}; {drained}"
    return scenario


def rebuilt_beside(world):
    """By the topics alone, into other tables, stopped in its midst and gone on with: the same counts as the live ones."""
    with recounting(world, 44, pass_every_ms=SELDOM_MS) as load:
        counts = load.finish()
        world.wait_streamed()
        world.wait_applied()
        stopped = interrupt(world, "rebuild", "--into", "rebuilt")
        answer = world.command("rebuild", "--into", "rebuilt")
        demand(answer.code == 0, f"rebuild ended with {answer.code}: {answer.err}")
        demand("going on at" in answer.err, f"it began anew: {answer.err}")
        for table in ("aggregate_user", "aggregate_track", "aggregate_playlist"):
            columns = [name for name, in world.sql(
                "select counter from tidemark.counters where aggregate = %s and counter <> 'dominant_genre'",
                (f"public.{table}",))]
            listed = ", ".join(f"coalesce({name}, 0)" for name in columns)
            key = table.removeprefix("aggregate_") + "_id"
            nothing = " and ".join(f"coalesce({name}, 0) = 0" for name in columns)
            left = world.sql(f"(select {key}, {listed} from public.{table} where not ({nothing})"
                             f" except select {key}, {listed} from rebuilt.{table}) union all"
                             f" (select {key}, {listed} from rebuilt.{table} where not ({nothing})"
                             f" except select {key}, {listed} from public.{table})")
            demand(not left, f"{len(left)} rows of {table} differ: {left[:3]}")
        return f"{stopped}; {answer.out.strip()}; {counts}; {world.verify()}"


def interrupt(world, *arguments):
    """Runs a rebuild until its first batch is stored, and Ctrl-C; what it says then."""
    holder = world.held_after_first("update on tidemark.rebuilds", "select from tidemark.rebuilds where next_offset > 0", BATCH_S)
    path = world.write_config("interrupted", world.stack.free_port(), limits=SMALL_BATCHES)
    process = subprocess.Popen([world.binaries.plain, *arguments, "--config", path], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: world.sql("select 1 from tidemark.rebuilds where next_offset > 0") or process.poll() is not None,
                   PATIENCE_S, "the first batch")
        process.send_signal(signal.SIGINT)
        holder.close()
        said, told = process.communicate(timeout=COMMAND_S_MAX)
    finally:
        process.kill()
        holder.close()
    demand(process.returncode == 75 and "goes on there" in said,
           f"{arguments[0]} ended with {process.returncode} after Ctrl-C: {said}{told}")
    world.let_go()
    return f"Ctrl-C: {said.splitlines()[0]}"


def readers_see_no_wrong_state(world):
    """Three members with kills and rebalances, passes all the time: each snapshot of the target is explained."""
    with recounting(world, 45, members=3) as load:
        world.wait_more(500)
        wait_until(lambda: not world.sql("select 1 from tidemark.suspect_ranges"), PATIENCE_S, "the first pass")
        observer = Observer(world)
        for member in world.members[:2]:
            member.kill9()
            time.sleep(1)
            member.start()
            time.sleep(1)
        drained = finish_load(world, load)
        observer.stop()
        return f"{observer.check()}; {figures(world)}; {drained}"


def money_moves(world):
    """Playlists change their owners: whenever no fence is outstanding, all owners together have as many."""
    world.pass_every_ms = MOVES_PASS_MS
    world.make_database()
    world.make_topics()
    world.make_connector()
    world.migrate()
    for _ in range(2):
        world.member()
    world.sql("""insert into blocks (number, blockhash) values (1, 'x');
        insert into playlists (playlist_id, playlist_owner_id, is_album, is_private, is_current, is_delete, created_at,
                               blocknumber)
        select i, i %% %s, false, false, true, false, now(), 1 from generate_series(1, %s) as i""" % (OWNERS, PLAYLISTS))
    world.wait_streamed()
    world.wait_applied()
    world.wait_recounted_once()  # passes go on: there may always be a fence
    observer, deadline = Observer(world), time.monotonic() + MOVES_S
    moved = 0
    while time.monotonic() < deadline:
        moved += len(world.sql("update playlists set playlist_owner_id ="
                               " (playlist_owner_id + 1 + (random() * %s)::int) %% %s"
                               " where playlist_id %% %s = %s returning 1" % (OWNERS // 2, OWNERS, MOVES, moved % MOVES)))
        time.sleep(MOVES_PAUSE_S)
    world.wait_streamed()
    world.wait_applied()
    calm(world)
    world.wait_recounted()
    enough = len(observer.readings) + READINGS_MORE
    wait_until(lambda: len(observer.readings) >= enough or observer.failed(), PATIENCE_S, "some readings more")
    observer.stop()
    sums = [sum(value for cell, value in reading.cells.items() if cell[1] == "playlist_count")
            for reading in observer.readings if not reading.fences]
    demand(all(one == PLAYLISTS for one in sums), f"the sum was {sorted(set(sums))}, and should be {PLAYLISTS}")
    demand(sums, "there was always a fence")
    return f"{moved} moves, {len(sums)} readings without a fence, each {PLAYLISTS}; {observer.check()}; {world.verify()}"


SCENARIOS = {
    "readers-see-no-wrong-state": readers_see_no_wrong_state,
    "money-moves": money_moves,
    "rebuild-beside": rebuilt_beside,
    "verify-beside-writers": verify_beside_writers,
    "recount-odd-transactions": odd_transactions,
    "recount-frozen-x2": member_frozen_at("X2"),
    "recount-frozen-x5": member_frozen_at("X5"),
}
