"""challenges: what a rule costs, how fast a start "from now" is, and how old a challenge row is.

A thousand user events a second are committed one by one. Postgres tells when each was committed,
and when the challenge that it completed was (track_commit_timestamp); Debezium tells in each event
when it read it.
"""

import json
import threading
import time

import dataset_sql
from dataset import DATABASE
from figures import BenchFailed, result, say
from rules import cost_of_rules
from scene import PARTITIONS, POLL_MS, TABLES, Scene

RATE, WRITERS = 1_000, 4
# The first events find Debezium cold: they are not counted.
SECONDS, SETTLE_S = 20, 15
SECONDS_QUICK, SETTLE_S_QUICK = 5, 10
GOAL_MS = 100
IDLE_S_GOAL = 10
_AGE = """
select percentile_cont(array[0.5, 0.99]) within group (order by ms), max(ms), count(*), count(ms)
  from (select 1000 * extract(epoch from pg_xact_commit_timestamp(c.xmin)
                              - pg_xact_commit_timestamp(e.xmin)) as ms
          from user_events as e
          left join user_challenges as c on c.challenge_id = 'm'
           and c.specifier = to_hex(e.user_id)
         where e.blocknumber = %s and e.user_id = any(%s)) as f"""


def challenges(options) -> list[dict]:
    seconds, settle_s = ((SECONDS, SETTLE_S) if options.scale == 1 else
                         (SECONDS_QUICK, SETTLE_S_QUICK))
    with Scene(options, batch=options.batch) as scene:
        idle_s = _from_now(scene)
        age, debezium = _age(scene, seconds, settle_s)
        costs = cost_of_rules(scene.dataset)
    return [
        result(f"event's commit to challenge row, {RATE:,} events/s, p99", age["p99"], "ms",
               "goal, at most", GOAL_MS),
        result("the same, p50", age["p50"], "ms"),
        result("the same, longest", age["max"], "ms"),
        result("of it until Debezium has read the event, p99", debezium["p99"], "ms",
               "its poll.interval.ms", POLL_MS),
        result("of it until Debezium has read the event, p50", debezium["p50"], "ms",
               "its poll.interval.ms", POLL_MS),
        result("start from now until idle", idle_s, "s", "goal, about", IDLE_S_GOAL),
        *costs,
    ]


def _from_now(scene: Scene) -> float:
    """Migrate, and a member, until it is ready and nobody waits but those of the first sweep."""
    begin = time.monotonic()
    scene.migrate()
    migrated_s = time.monotonic() - begin
    member = scene.member()
    member.start()
    scene.wait(member, lambda: scene.sql("select count(*) from tidemark.progress") == [
        (PARTITIONS * len(TABLES),)] and member.is_ready() and scene.sql(
            "select not exists (select from tidemark.dirty where not swept)") == [(True,)],
        "the member is idle")
    idle_s = time.monotonic() - begin
    say(f"start from now: idle after {idle_s:.1f} s, {migrated_s:.1f} s of them `migrate`; the "
        "first sweep and the first pass go on beside")
    scene.end(member)
    return idle_s


def _age(scene: Scene, seconds: float, settle_s: float) -> tuple[dict, dict]:
    """Of challenge rows, and of events when Debezium reads them; p50, p99 and max."""
    scene.settle()
    member = scene.member()
    member.start()
    member.wait_ready()
    events = _Events(scene)
    begin = time.monotonic()
    events.run(settle_s + seconds)
    took = time.monotonic() - begin
    scene.wait_sent()
    scene.wait(member, lambda: not scene.behind(scene.end_offsets()) and scene.sql(
        "select not exists (select from tidemark.dirty)") == [(True,)], "everything is derived")
    users = events.users[int(len(events.users) * settle_s / (settle_s + seconds)):]
    (quantiles, longest, wanted, found), = scene.sql(_AGE, (scene.block, users))
    if found != wanted:
        raise BenchFailed(f"{wanted - found} of {wanted} events gave no challenge row")
    debezium = _read_after(scene, set(users))
    scene.end(member)
    say(f"{len(events.users):,} events at {len(events.users) / took:,.0f}/s: challenge rows after "
        f"p50 {quantiles[0]:.0f} ms, p99 {quantiles[1]:.0f} ms, longest {longest:.0f} ms; read by "
        f"Debezium after p50 {debezium['p50']:.0f} ms, p99 {debezium['p99']:.0f} ms")
    if len(events.users) < 0.9 * RATE * took:
        say(f"  the writers did not reach {RATE:,}/s: this machine is busy")
    return {"p50": quantiles[0], "p99": quantiles[1], "max": longest}, debezium


def _read_after(scene: Scene, users: set[int]) -> dict:
    """Milliseconds from an event's commit until Debezium read it, by what it says of both."""
    waits = []
    for record in scene.stack.kafka.client.records(scene.topic("user_events")):
        event = json.loads(record.value) if record.value else {}
        if event.get("after") and event["after"]["user_id"] in users:
            waits.append((event["ts_us"] - event["source"]["ts_us"]) / 1000)
    waits.sort()
    if not waits:
        raise BenchFailed("Debezium's topic holds none of the events")
    return {"p50": waits[len(waits) // 2], "p99": waits[int(len(waits) * 0.99)]}


class _Events:
    """Events of users who had none, each committed by itself, from some sessions at one rate."""

    def __init__(self, scene: Scene):
        self._scene = scene
        self._next = scene.sizes.current_events
        self._lock = threading.Lock()
        self._failures: list[Exception] = []
        self.users: list[int] = []

    def run(self, seconds: float) -> None:
        threads = [threading.Thread(target=self._guarded, args=(seconds,), daemon=True)
                   for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failures:
            raise BenchFailed(f"a writer failed: {self._failures[0]}")

    def _guarded(self, seconds: float) -> None:
        try:
            self._write(seconds)
        except Exception as problem:  # judged in the main thread
            self._failures.append(problem)

    def _write(self, seconds: float) -> None:
        connection = self._scene.postgres.connect(DATABASE)
        with connection.cursor() as cursor:
            cursor.execute("prepare event as insert into user_events (user_id, referrer, "
                           "is_mobile_user, is_current, blocknumber) "
                           "values ($1, $2, true, true, $3)")
            begin, done = time.monotonic(), 0
            while (passed := time.monotonic() - begin) < seconds:
                if done >= passed * RATE / WRITERS:
                    time.sleep(0.001)
                    continue
                user = self._take()
                cursor.execute("execute event (%s, %s, %s)", (
                    user, user - 1 if user % 3 == 0 else None, self._scene.block))
                done += 1
        connection.close()

    def _take(self) -> int:
        with self._lock:
            self._next += 1
            if self._next >= self._scene.sizes.users:
                raise BenchFailed("every user has an event: take a larger --scale")
            user = 1 + self._next * dataset_sql.SPREAD_USERS % self._scene.sizes.users
            self.users.append(user)
            return user
