"""Three members, and every second another fault at random (FAULTS A1, A3, A4, G1, G2, G5); also what passes slowly."""

import random
import time

from ops.stack import wait_until

from world import PATIENCE_S, SESSION_MS, demand

SECONDS, SECONDS_LONG = 30, 600
TICK_S = 0.25
LANES = "\n[batch]\nlanes = 2\n"
HOLE_S = 30 + 15       # what finds a silent connection (FAULTS G5: within 30 s), and what a busy machine may add
ROUND_TRIP_S = 0.1


class Storm:
    """Faults of one seed; every one of them is over when calm() returns."""

    def __init__(self, world, members, proxy, seed):
        self.world, self.members, self.proxy = world, members, proxy
        self.random = random.Random(seed)
        self.counts = {}
        self._later = []  # (due, action)
        self._busy = set()

    def strike(self):
        fault = self.random.choice((self._kill, self._kill, self._freeze, self._cut, self._lose_commit, self._lose_reply,
                                    self._terminate, self._silence))
        fault()
        self.counts[fault.__name__[1:]] = self.counts.get(fault.__name__[1:], 0) + 1

    def settle(self, now=None):
        """Ends what is due."""
        due = [entry for entry in self._later if now is None or entry[0] <= now]
        self._later = [entry for entry in self._later if entry not in due]
        for _, action in due:
            action()

    def calm(self):
        self.settle()
        self.proxy.cut_at_commit(before=True, count=0)

    def _at(self, seconds, action):
        self._later.append((time.monotonic() + seconds, action))

    def _victim(self):
        free = [member for member in self.members if member not in self._busy and member.running()]
        return self.random.choice(free) if free else None

    def _kill(self):
        victim = self._victim()
        if victim:
            victim.kill9()
            self._busy.add(victim)
            self._at(self.random.uniform(0, SESSION_MS / 500), lambda: (victim.start(), self._busy.discard(victim)))

    def _freeze(self):
        victim = self._victim()
        if victim:
            victim.sigstop()
            self._busy.add(victim)
            self._at(self.random.uniform(0.2, SESSION_MS / 500), lambda: (victim.sigcont(), self._busy.discard(victim)))

    def _cut(self):
        self.proxy.cut_all()

    def _lose_commit(self):
        self.proxy.cut_at_commit(before=True, touching="update tidemark.progress")

    def _lose_reply(self):
        self.proxy.cut_at_commit(before=False, touching="update tidemark.progress")

    def _terminate(self):
        self.world.sql("select pg_terminate_backend(pid) from pg_stat_activity "
                       "where datname = current_database() and usename = 'tidemark_run'")

    def _silence(self):
        self.proxy.black_hole(True)
        self._at(self.random.uniform(0.1, 1.5), lambda: self.proxy.black_hole(False))


def storm(seed):
    def scenario(world, recording):
        world.make_database(recording.template)
        world.make_topics()
        world.migrate()
        feed, proxy = recording.feed(world), world.proxy()
        members = [world.member(via=proxy, limits=LANES if number else "") for number in range(3)]
        faults = Storm(world, members, proxy, seed)
        seconds = SECONDS_LONG if world.long else SECONDS
        begin, struck = time.monotonic(), 0
        while time.monotonic() < begin + seconds:
            feed.some(TICK_S / seconds)
            faults.settle(time.monotonic())
            if time.monotonic() - begin > struck + 1:
                struck += 1
                faults.strike()
            world.check_members()
            time.sleep(TICK_S)
        faults.calm()
        feed.rest()
        drained = world.wait_applied()
        wait_until(lambda: all(member.is_ready() for member in members), PATIENCE_S, "all members ready")
        return f"seed {seed}: {dict(sorted(faults.counts.items()))}, drained in {drained:.1f} s; {world.verify()}"
    return scenario


def slow_network(world, recording):
    """100 ms round trips to Postgres: slow, not wrong; then silence, which is found and survived."""
    world.make_database(recording.template)
    world.make_topics()
    world.migrate()
    feed, proxy = recording.feed(world), world.proxy()
    proxy.delay(to_server_s=ROUND_TRIP_S / 2, to_client_s=ROUND_TRIP_S / 2)
    feed.some(0.3)
    member = world.member(via=proxy)
    slow = world.wait_applied()
    proxy.delay()
    proxy.black_hole(True)
    feed.some(0.3)
    begin = time.monotonic()
    wait_until(lambda: member.get("/readyz")[0] == 503, HOLE_S, "the silence is noticed")
    noticed = time.monotonic() - begin
    demand(member.is_live(), "/livez fails while Postgres is silent")
    proxy.black_hole(False)
    feed.rest()
    world.wait_applied()
    return f"{slow:.1f} s with 100 ms round trips; silence noticed after {noticed:.1f} s; {world.verify()}"


def partitions_added(world, recording):
    """New partitions are read from their beginning, a topic that comes late is waited for (FAULTS K4)."""
    world.make_database(recording.template)
    late = "follows"
    world.make_topics(tuple(table for table in world.tables if table != late))
    world.migrate()
    member = world.member()
    wait_until(lambda: member.is_live(), PATIENCE_S, "the member lives without its topic")
    world.make_topics((late,))
    feed = recording.feed(world)
    feed.some(0.4)
    world.wait_applied()
    world.client.alter_partitions(world.topic(late), 4)
    wait_until(lambda: world.client.partitions(world.topic(late)) == 4, PATIENCE_S, "the new partitions")
    feed.move(late, {0: 2, 1: 3})  # as a producer does that hashes over more partitions
    feed.rest()
    world.wait_applied()
    return f"a topic made late, then 2 partitions more; {world.verify()}"


SCENARIOS = {"storm-1": storm(1), "storm-2": storm(2), "slow-network": slow_network, "partitions-added": partitions_added}
