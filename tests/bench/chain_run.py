"""One measured run of members over a topic, from their start until every count is right."""

import contextlib
import dataclasses
import time

import figures
from bed import Bed, Topic
from figures import BenchFailed, say

POLL_S = 0.02
RUN_S_MAX = 1800
UNOBSERVED = "TIDEMARK_UNOBSERVED"  # in a member's environment: it notes nothing of what it does


@dataclasses.dataclass
class ChainRun:
    """What one run took. Seconds of wall clock and of CPU; bytes."""
    events: int
    wall_s: float        # from the start of the processes
    claimed_s: float     # of it, until the first partition was claimed
    first_commit_s: float
    cpu: dict[str, float]       # member, broker, Postgres by kind of process
    threads: dict[str, float]   # of the members
    wal_bytes: int
    batches: float
    rows: float
    apply_s: float       # sum over the batches
    rss_mib: list[tuple[float, float]]  # (seconds since the start, largest member)
    others_s: float      # CPU of what is none of ours: how busy the machine was
    dirty: int = 0       # users who wait to be derived, when every count is right

    @property
    def rate(self) -> float:
        """Events per second from the start of the process."""
        return self.events / self.wall_s

    @property
    def busy_rate(self) -> float:
        """Events per second from the first claim on."""
        return self.events / (self.wall_s - self.claimed_s)

    @property
    def cost_us(self) -> float:
        """CPU microseconds per event of member and Postgres."""
        return 1e6 * (self.cpu["member"] + postgres_s(self.cpu)) / self.events

    @property
    def rss_max(self) -> float:
        return max(rss for _, rss in self.rss_mib)

    @property
    def rss_end(self) -> float:
        return self.rss_mib[-1][1]


def postgres_s(cpu: dict[str, float]) -> float:
    return sum(seconds for name, seconds in cpu.items() if name.startswith("postgres "))


def run_chain(bed: Bed, topic: Topic, rows: int, *, members: int = 1, derive: str = "",
              env: dict[str, str] | None = None, beside=None) -> ChainRun:
    """Starts the members on a fresh database, waits, checks every cell, and cleans up. `env`: of
    the members; `beside`: makes of a member a context that lasts as long as it runs."""
    database = bed.fresh(rows, derive=derive)
    group = [bed.member(database, {"public.reposts": topic.name}, number=n + 1, derive=derive)
             for n in range(members)]
    try:
        with contextlib.ExitStack() as others:
            measured = _measure(bed, database, topic, group, env, lambda: [
                others.enter_context(beside(member)) for member in group] if beside else [])
        bed.check(database, topic)
        return measured
    finally:
        for member in group:
            member.stop()
            bed.stack.members.remove(member)
        bed.drop(database)


def _measure(bed: Bed, database: str, topic: Topic, group: list, env, started) -> ChainRun:
    watch = bed.postgres.connect(database)
    cursor = watch.cursor()
    cursor.execute("select pg_current_wal_insert_lsn()")
    (wal_from,) = cursor.fetchone()
    before, all_before = cpu_of_all(bed, []), figures.all_cpu_seconds()
    start = time.monotonic()
    for member in group:
        member.start(env)
    started()
    rss, claimed, committed = [], None, None
    while True:
        cursor.execute("select count(*), coalesce(sum(greatest(next_offset, 0)), 0)"
                       " from tidemark.progress where topic = %s", (topic.name,))
        partitions, applied = cursor.fetchone()
        now = time.monotonic() - start
        claimed = now if claimed is None and partitions else claimed
        committed = now if committed is None and applied else committed
        rss.append((now, max(figures.rss_mib(member.process.pid or 0) for member in group)))
        if applied >= topic.events:
            break
        _demand_alive(group, now)
        time.sleep(POLL_S)
    all_after, cpu = figures.all_cpu_seconds(), figures.minus(cpu_of_all(bed, group), before)
    cursor.execute("select pg_current_wal_insert_lsn() - %s::pg_lsn", (wal_from,))
    (wal_bytes,) = cursor.fetchone()
    cursor.execute("select count(*) from tidemark.dirty")
    (dirty,) = cursor.fetchone()
    watch.close()
    if not env or UNOBSERVED not in env:
        _wait_for_metrics(group, topic.events)
    return ChainRun(
        events=topic.events, wall_s=now, claimed_s=claimed, first_commit_s=committed, cpu=cpu,
        threads=_threads(group), wal_bytes=int(wal_bytes),
        batches=_sum(group, "tidemark_batch_rows_count"),
        rows=_sum(group, "tidemark_batch_rows_sum"),
        apply_s=_sum(group, "tidemark_apply_seconds_sum"), rss_mib=rss,
        others_s=all_after - all_before - sum(cpu.values()), dirty=dirty)


def _demand_alive(group: list, now: float) -> None:
    for member in group:
        if not member.running():
            raise BenchFailed(f"{member.name} ended with {member.exit_code()}.\n"
                              f"{member.process.tail()}")
    if now > RUN_S_MAX:
        raise BenchFailed(f"not through after {RUN_S_MAX} s")


def _wait_for_metrics(group: list, events: int) -> None:
    """A batch is in Postgres a moment before the member counts it. All must have taken part."""
    deadline = time.monotonic() + 10
    while _sum(group, "tidemark_records_total") < events:
        if time.monotonic() > deadline:
            raise BenchFailed("the members' metrics count fewer records than were applied")
        time.sleep(POLL_S)
    for member in group:
        if member.metric("tidemark_records_total") == 0:
            raise BenchFailed(f"{member.name} took no part: the others were done before it came")


def _sum(group: list, metric: str) -> float:
    return sum(member.metric(metric) for member in group)


def cpu_of_all(bed: Bed, group: list) -> dict[str, float]:
    postgres = figures.postgres_seconds(bed.postgres.process.pid)
    return {"member": sum(figures.cpu_seconds(member.process.pid) for member in group),
            "broker": figures.cpu_seconds(bed.stack.kafka.process.pid),
            **{f"postgres {kind}": seconds for kind, seconds in postgres.items()}}


def _threads(group: list) -> dict[str, float]:
    total: dict[str, float] = {}
    for member in group:
        for name, seconds in figures.thread_seconds(member.process.pid).items():
            name = {"main": "poll, decode, fold", "tidemark": "appliers"}.get(name, name)
            total[name] = total.get(name, 0) + seconds
    return total


# -- words
def describe(run: ChainRun, cores: int) -> None:
    """Prints where the time went, and what bounds the run."""
    say(f"  {run.rate:,.0f} events/s: {run.wall_s:.2f} s, of which {run.claimed_s:.2f} s until the "
        f"claim and {run.first_commit_s:.2f} s until the first commit")
    say(f"  {run.batches:,.0f} batches, {run.events / run.batches:,.0f} events and "
        f"{run.rows / run.batches:,.0f} cells a batch, {run.rows / run.events:.3f} cells an event; "
        f"apply {run.apply_s:.2f} s; WAL {run.wal_bytes / run.events:,.0f} bytes an event")
    say("  CPU seconds: " + ", ".join(
        f"{name} {seconds:.2f}" for name, seconds in sorted(run.cpu.items(), key=_largest)
        if seconds >= 0.01) + f"; others on this machine {run.others_s:.2f}")
    say("  threads of the member: " + ", ".join(
        f"{name} {seconds:.2f}" for name, seconds in sorted(run.threads.items(), key=_largest)
        if seconds >= 0.05))
    if run.dirty:
        say(f"  {run.dirty:,} users wait to be derived")
    say(f"  memory of the member: at most {run.rss_max:.0f} MiB, {run.rss_end:.0f} MiB at the end")
    say(f"  bound by {bound(run, cores)}")


def bound(run: ChainRun, cores: int) -> str:
    """The machine when all of its cores were busy, else the busiest single thread."""
    busy_s = run.wall_s - run.claimed_s
    used = sum(run.cpu.values()) + run.others_s
    singles = {f"the member's thread `{name}`": seconds for name, seconds in run.threads.items()}
    singles |= {name: seconds for name, seconds in run.cpu.items() if name.startswith("postgres ")}
    name, seconds = max(singles.items(), key=lambda item: item[1])
    single = (f"{name} ({seconds / busy_s:.0%} of a core; apply goes on {run.apply_s / busy_s:.0%} "
              "of the time)")
    busy = used / run.wall_s
    if busy >= 0.93 * cores:
        return f"the machine's {cores} cores ({busy:.2f} busy); of single threads, {single}"
    return f"{single}; of the machine's {cores} cores {busy:.2f} are busy"


def _largest(item: tuple) -> float:
    return -item[1]
