"""recount: a pass over everything beside the running stream, at the scale of a real application.

First the goal: how long slices wait for their turn, and hold it, while changes come at an even
rate. Then what a pass costs the stream: a backlog of reposts is worked off without a pass and
beside one, and changes that come at an even rate are visible so and so late, without and beside
one. At the end the same counts by one statement for each aggregate, which also proves that no row
differs: nothing is to be written.

A change's freshness is told by Postgres, from commit to commit (track_commit_timestamp): each
repost is of another user, so that user's row was last written by the batch, or the slice, that
counted it.
"""

import dataclasses
import time

import figures
import recompute
from figures import BenchFailed, result, say
from freshness import histogram_quantile
from scene import PacedWriter, Scene

GOAL_MS, SHARE_MIN, SHARE_MAX = 50, 0.8, 1.2
BACKLOG, RATE, LIVE_S, PASS_S_MAX = 300_000, 2_000, 30, 150
BACKLOG_QUICK, RATE_QUICK, LIVE_S_QUICK, PASS_S_MAX_QUICK = 10_000, 500, 8, 30
SETTLE_S = 2
_PASS = """
select extract(epoch from coalesce(ended_at, clock_timestamp()) - started_at)::float8 as seconds,
       slices, cells, ended_at is not null as ended, aggregates[at_aggregate] as aggregate,
       coalesce(next_key::integer, 0) as next_key
  from tidemark.passes order by id desc limit 1"""
_FRESH = """
select percentile_cont(array[0.5, 0.99]) within group (order by ms), max(ms), count(*)
  from (select 1000 * extract(epoch from pg_xact_commit_timestamp(a.xmin)
                              - pg_xact_commit_timestamp(r.xmin)) as ms
          from reposts as r join aggregate_user as a using (user_id)
         where r.blocknumber = %s and r.txhash between %s and %s) as f"""


def recount(options) -> list[dict]:
    backlog, rate, live_s, pass_s_max = (
        (BACKLOG, RATE, LIVE_S, PASS_S_MAX) if options.scale == 1 else
        (BACKLOG_QUICK, RATE_QUICK, LIVE_S_QUICK, PASS_S_MAX_QUICK))
    with Scene(options, batch=options.batch) as scene:
        scene.migrate()
        scene.settle()
        member, alone = _work_off(scene, backlog, "without a pass")
        quiet = _live(scene, member, rate, lambda passed_s: passed_s >= live_s)
        scene.end(member)
        scene.sql("update tidemark.turn set pass_at = null")  # due
        member, beside = _work_off(scene, backlog, "beside a pass")
        busy = _live(scene, member, rate,
                     lambda passed_s: _pass(scene).ended or passed_s >= pass_s_max)
        whole = _pass(scene)
        _drain(scene, member)
        drift = scene.sql("select count(*) from tidemark.drift")[0][0]
        scene.end(member)
        statements = {name: _timed(scene, sql) for name, sql in recompute.AGAIN.items()}
    _judge(drift, statements)
    return _rows(alone, beside, quiet, busy, whole, statements)


def _work_off(scene: Scene, rows: int, name: str) -> tuple:
    """A new member over a backlog; (the member, events a second from its first claim on)."""
    scene.add_reposts(rows)
    scene.wait_sent()
    ends = scene.end_offsets()
    before = dict(scene.sql("select topic || partition, epoch from tidemark.progress"))
    member = scene.member()
    begun = time.monotonic()
    member.start()

    def claimed():
        return any(epoch > before.get(where, 0) for where, epoch in scene.sql(
            "select topic || partition, epoch from tidemark.progress"))
    scene.wait(member, claimed, "partitions are claimed", every_s=0.01)
    began = time.monotonic()
    scene.wait(member, lambda: not scene.behind(ends), "the backlog is applied", every_s=0.01)
    seconds = time.monotonic() - began
    say(f"{rows:,} reposts {name}: {rows / seconds:,.0f} events/s, {seconds:.1f} s, after "
        f"{began - begun:.1f} s until the first claim")
    slices = slices_of(member.metrics())
    if slices["slices"]:
        say(f"  meanwhile {slices['slices']:.0f} slices, which waited for batches p99 "
            f"{slices['wait']:.0f} ms and held p99 {slices['hold']:.0f} ms")
    return member, {"rate": rows / seconds, **slices}


def _live(scene: Scene, member, rate: int, over) -> dict:
    """Changes at an even rate until over(seconds since) is true; what they and the slices met."""
    with PacedWriter(scene, rate) as writer:
        time.sleep(SETTLE_S)
        metrics, first, begun = member.metrics(), scene.added + 1, time.monotonic()
        cpu = figures.postgres_seconds(scene.postgres.process.pid)
        scene.wait(member, lambda: over(time.monotonic() - begun), "the live part")
        seconds, last = time.monotonic() - begun, scene.added
        delta = figures.minus(member.metrics(), metrics)
        cpu = figures.minus(figures.postgres_seconds(scene.postgres.process.pid), cpu)
    _drain(scene, member)
    (quantiles, longest, rows), = scene.sql(_FRESH, (scene.block, _hash(first), _hash(last)))
    live = {"p50": quantiles[0], "p99": quantiles[1], "rate": rows / seconds, **slices_of(delta)}
    say(f"{rows:,} changes in {seconds:.0f} s, {rows / seconds:,.0f}/s: commit to visible p50 "
        f"{quantiles[0]:.0f} ms, p99 {quantiles[1]:.0f} ms, longest {longest:.0f} ms; Postgres "
        f"used {sum(cpu.values()) / seconds:.2f} cores")
    if live["slices"]:
        say(f"  {live['slices']:.0f} slices of {live['rows'] / live['slices']:.0f} rows: waited "
            f"p50 {live['wait_p50']:.1f} ms, p99 {live['wait']:.1f}; held p50 "
            f"{live['hold_p50']:.1f} ms, p99 {live['hold']:.1f}; {live['held_s'] / seconds:.0%} of "
            "the time")
    if rows / seconds < 0.9 * rate:
        say(f"  the writer did not reach its {rate}/s: this machine is busy")
    return live | {"seconds": seconds}


def slices_of(delta: dict[str, float]) -> dict[str, float]:
    found = {"slices": delta.get("tidemark_recount_hold_seconds_count", 0),
             "rows": delta.get("tidemark_recount_rows_total", 0),
             "held_s": delta.get("tidemark_recount_hold_seconds_sum", 0)}
    for part in ("wait", "hold"):
        name = f"tidemark_recount_{part}_seconds"
        found[part] = 1000 * histogram_quantile(delta, name, 0.99)
        found[f"{part}_p50"] = 1000 * histogram_quantile(delta, name, 0.5)
    return found


def _hash(number: int) -> str:
    return f"0xbench{number:059x}"


def _drain(scene: Scene, member) -> None:
    scene.wait_sent()
    ends = scene.end_offsets()
    scene.wait(member, lambda: not scene.behind(ends) and scene.sql(
        "select count(*) from tidemark.suspects") == [(0,)], "everything is applied")


@dataclasses.dataclass
class _Pass:
    seconds: float
    slices: int
    cells: int
    ended: bool
    done: float  # how much of it, by the rows that it reads


def _pass(scene: Scene) -> _Pass:
    """The last pass. Where it has come to tells how long all of it will take."""
    (seconds, slices, cells, ended, aggregate, next_key), = scene.sql(_PASS)
    sizes, done = scene.sizes, 0.0
    marked = sizes.reposts + sizes.saves  # an eighth of them of playlists
    parts = {"aggregate_playlist": (sizes.playlists, sizes.playlists + marked / 8),
             "aggregate_track": (sizes.tracks, sizes.tracks + marked * 7 / 8),
             "aggregate_user": (sizes.users, 2 * sizes.follows + marked + 2 * sizes.tracks)}
    for name, (keys, rows) in parts.items():
        if f"public.{name}" == aggregate:
            done += rows * next_key / keys
            break
        done += rows
    share = 1.0 if ended else done / sum(rows for _, rows in parts.values())
    return _Pass(seconds, slices, cells, ended, share)


def _timed(scene: Scene, sql: str) -> tuple[float, int]:
    connection = scene.postgres.connect("app")
    try:
        with connection.cursor() as cursor:
            begin = time.monotonic()
            cursor.execute(sql)
            return time.monotonic() - begin, cursor.rowcount
    finally:
        connection.close()


def _judge(drift: int, statements: dict) -> None:
    differ = sum(rows for _, rows in statements.values())
    for name, (seconds, rows) in statements.items():
        say(f"one statement over {name}: {seconds:.1f} s, {rows} rows differed")
    if differ or drift:
        raise BenchFailed(f"{differ} rows differ from the recompute, {drift} rows of drift")


def _rows(alone, beside, quiet, busy, whole: _Pass, statements) -> list[dict]:
    if not whole.ended:
        say(f"the pass was left after {whole.seconds:.0f} s, {whole.done:.0%} of its rows")
    return [
        result("wait of a slice, p99", busy["wait"], "ms", "goal of wait and hold, at most",
               GOAL_MS),
        result("hold of a slice, p99", busy["hold"], "ms", "goal of wait and hold, at most",
               GOAL_MS),
        result("full pass" + ("" if whole.ended else ", estimated"),
               whole.seconds / max(whole.done, 1e-9), "s", "one statement for each aggregate",
               sum(took for took, _ in statements.values())),
        result("backlog beside a pass", beside["rate"], "events/s",
               f"without a pass; goal {SHARE_MIN:g}", alone["rate"]),
        result("commit to visible beside a pass, p99", busy["p99"], "ms",
               f"without a pass; goal {SHARE_MAX:g}", quiet["p99"]),
        result("commit to visible beside a pass, p50", busy["p50"], "ms", "without a pass",
               quiet["p50"]),
        result("rows a second of the pass", whole.cells / whole.seconds, "rows/s"),
        result("slices", whole.slices, "slices"),
    ]
