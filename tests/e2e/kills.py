"""Members that die or freeze at named places (FAULTS X1 to X13), fed with recorded traffic.

X6 lies between two system calls of libpq: there the proxy in front of Postgres keeps the reply to
COMMIT, and the member is killed while it waits for it.
"""

from ops.stack import wait_until

from world import PATIENCE_S, SESSION_MS, demand

JUNK = b'{"before": nonsense'
PART = 0.005         # of the recording, again and again
AHEAD_MAX = 500      # a member that starts slowly must not find all of it in one batch
KEPT_MIN = 1_000     # for those who come afterwards


def _begin(world, recording, share=0.3):
    world.make_database(recording.template)
    world.make_topics()
    world.migrate()
    feed = recording.feed(world)
    feed.some(share)
    return feed


def _feed_on(world, feed):
    if feed.left > KEPT_MIN and feed.sent - world.records_applied() < AHEAD_MAX:
        feed.some(PART)


def _owns(world, member):
    """Before it does, another one would take what is fed, and leave it too little."""
    return member.process.pid in world.owners()


def _dies(world, member, feed, owning=False):
    """Feeds little by little, so that the place is reached, until the member is dead. `owning`: once it owns partitions."""
    def dead():
        if member.exit_code() is None and (not owning or _owns(world, member)):
            _feed_on(world, feed)
        return member.exit_code() is not None
    wait_until(dead, PATIENCE_S, f"{member.name} reaches its kill point")
    demand(member.exit_code() == -9, f"{member.name} ended with {member.exit_code()}:\n{member.process.tail()}")


def _finish(world, feed):
    feed.rest()
    world.wait_applied()
    return world.verify()


def killed_at(point, times=1):
    """A member of two is killed at the place, once it came there `times` times, and restarted."""
    def scenario(world, recording):
        feed = _begin(world, recording)
        victim, survivor = world.member(kill=f"{point}:kill:{times}"), world.member()
        _dies(world, victim, feed, owning=point != "X9")  # there it dies as it claims
        wait_until(lambda: set(world.owners()) == {survivor.process.pid}, PATIENCE_S, "the survivor owns everything")
        feed.some(0.02)
        world.wait_applied()
        commit = world.first_commit_ms(survivor.process.pid)
        victim.start(env={})
        return f"survivor's first commit {commit} ms after its claim; {_finish(world, feed)}"
    return scenario


def killed_while_parking(world, recording):
    feed = _begin(world, recording)
    world.client.produce(world.topic("follows"), JUNK, key=b"{}", partition=0)
    victim = world.member(kill="X13:kill")
    _dies(world, victim, feed)
    victim.start(env={})
    figures = _finish(world, feed)
    parked = world.status()["parked"]
    demand(parked == 1, f"{parked} parked records, 1 was sent")
    return f"1 record parked once; {figures}"


def killed_in_revoke(world, recording):
    feed = _begin(world, recording)
    victim = world.member(kill="X8:kill")
    world.wait_records(100)
    world.member()  # its coming makes the group take the first one's partitions
    _dies(world, victim, feed)
    victim.start(env={})
    return _finish(world, feed)


def killed_in_drain(world, recording):
    feed = _begin(world, recording)
    victim = world.member(kill="X12:kill")
    world.member()
    world.wait_records(100)
    victim.sigterm()
    _dies(world, victim, feed)
    victim.start(env={})
    return _finish(world, feed)


def killed_before_the_reply(world, recording):
    """X6."""
    feed = _begin(world, recording)
    proxy = world.proxy()
    victim, _ = world.member(via=proxy), world.member()
    wait_until(lambda: len(world.owners()) == 2, PATIENCE_S, "both members own partitions")
    proxy.cut_at_commit(before=False, touching="update tidemark.progress", hold=True)

    def cut():
        _feed_on(world, feed)
        return proxy.cuts
    wait_until(cut, PATIENCE_S, "a COMMIT whose reply is kept")
    victim.kill9()
    demand(proxy.cuts[0].reply == "COMMIT", f"the server answered {proxy.cuts[0]}")
    victim.start()
    return _finish(world, feed)


def frozen_at(point):
    """A zombie: it stops at the place past its session, another owner works, and it comes back with its batch."""
    def scenario(world, recording):
        feed = _begin(world, recording)
        zombie, other = world.member(kill=f"{point}:stop:3"), world.member()

        def stopped():
            if not is_stopped(zombie.process.pid) and _owns(world, zombie):
                _feed_on(world, feed)
            return is_stopped(zombie.process.pid)
        wait_until(stopped, PATIENCE_S, f"{zombie.name} stops at {point}")
        wait_until(lambda: set(world.owners()) == {other.process.pid}, PATIENCE_S, "the new owner has everything")
        feed.some(0.02)
        world.wait_applied()
        commit = world.first_commit_ms(other.process.pid)
        zombie.sigcont()
        wait_until(lambda: world.total("tidemark_fenced_batches_total", zombie) >= 1, PATIENCE_S, "the zombie's batch is fenced")
        wait_until(lambda: zombie.process.pid in world.owners(), PATIENCE_S, "the zombie rejoins")
        return (f"stopped past {SESSION_MS / 1000:g} s, fenced and counted; new owner's first commit {commit} ms after its "
                f"claim; {_finish(world, feed)}")
    return scenario


def is_stopped(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


# The place, and the time that it is reached at which the member dies: some in the middle of its work.
KILLS = {"X1": 500, "X2": 3, "X3": 3, "X4": 4, "X5": 3, "X7": 1, "X9": 1}
SCENARIOS = {f"kill-{point.lower()}": killed_at(point, times) for point, times in KILLS.items()}
SCENARIOS |= {
    "kill-x6": killed_before_the_reply,
    "kill-x8": killed_in_revoke,
    "kill-x9-before-commit": killed_at("X9", 2),
    "kill-x12": killed_in_drain,
    "kill-x13": killed_while_parking,
}
SCENARIOS |= {f"freeze-{point.lower()}": frozen_at(point) for point in ("X2", "X3", "X4", "X5")}
REPEATS_LONG = 10
