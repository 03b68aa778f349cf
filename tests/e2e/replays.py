"""Replays beside the live group: what was wrong is right afterwards, and the group notices nothing.

Each ends with every cell right, nothing suspect, no drift but what was made by hand, and the group's offsets in
one chain.
"""

import contextlib
import os
import re
import signal
import subprocess
import time

from ops.stack import wait_until

from recounts import recounting
from world import COMMAND_S_MAX, PATIENCE_S, demand

SELDOM_MS = 3_600_000    # no pass comes to a replay's help
WRONG = 5
BATCH_S = 1.0            # a replay's batches are slowed down to this, so that it says how long it takes
BATCHES_RECORDS = 6_000  # several of its batches


def make_wrong(world):
    """Many users' followers, by hand: only a recount can tell. Gives what a drift table could say of them."""
    world.wait_recounted_once()
    users = wait_until(lambda: world.sql("update aggregate_user set follower_count = follower_count + %s"
                                         " where follower_count > 3 returning user_id", (WRONG,)), PATIENCE_S, "users with followers")
    return {("public.aggregate_user", "follower_count", str(user), -WRONG) for user, in users}


def replay(world, *arguments):
    answer = world.command("replay", *arguments)
    demand(answer.code == 0, f"replay ended with {answer.code}: {answer.err}")
    demand(not world.sql("select 1 from tidemark.replays"), "a replay that is through was not forgotten")
    return answer


def finish(world, load, wrong):
    """What a replay named is repaired. A row is recounted as a whole, though: a wrong cell beside a named one, which
    the replay had not come to yet, is drift, and rightly so. There is no other drift."""
    counts = load.finish()
    world.wait_streamed()
    world.wait_applied()
    world.wait_recounted()
    drift = {tuple(row) for row in world.sql("select aggregate, counter, key, difference from tidemark.drift")}
    demand(drift <= wrong, f"drift that nobody made: {sorted(drift - wrong)[:5]}")
    verified = world.verify(drift=drift)
    return f"{len(wrong)} wrong cells, {len(wrong - drift)} repaired, {len(drift)} found beside; {counts}; {verified}"


def twice_beside_the_group(world):
    """Cells made wrong by hand while events come; two replays; all is right."""
    with recounting(world, 31, pass_every_ms=SELDOM_MS) as load:
        wrong = make_wrong(world)
        epochs = world.sql("select sum(epoch) from tidemark.progress")
        first, second = (replay(world, "--from", "beginning") for _ in range(2))
        demand(world.sql("select sum(epoch) from tidemark.progress") == epochs, "the group lost its partitions")
        verified = finish(world, load, wrong)
        return f"{said(first)}; again: {said(second)}; {verified}"


def said(answer):
    return answer.out.partition("\n")[0]


def topic_since(world):
    """One topic, since a time before all of its records, and since a time that is still to come."""
    with recounting(world, 32, pass_every_ms=SELDOM_MS) as load:
        wrong = make_wrong(world)
        late = replay(world, "--topic", world.topic("follows"), "--from", "2999-01-01T00:00:00Z")
        demand("replayed 0 records" in late.out, late.out)
        since = replay(world, "--topic", world.topic("follows"), "--from", "2001-01-01T00:00:00Z")
        verified = finish(world, load, wrong)
        return f"{said(since)}; {verified}"


def stopped_and_resumed(world):
    """Ctrl-C in the midst of a replay; the same command goes on there."""
    with recounting(world, 33, pass_every_ms=SELDOM_MS) as load:
        wrong = make_wrong(world)
        world.wait_records(BATCHES_RECORDS)
        path = world.write_config("cli", world.stack.free_port())
        command = [world.binaries.plain, "replay", "--from", "beginning", "--config", path]
        screen = Terminal()
        holder = world.held_after_first("update on tidemark.replays", "select from tidemark.replays where next_offset > 0", BATCH_S)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=screen.side, stdin=subprocess.DEVNULL,
                              text=True) as process, contextlib.closing(holder):
            wait_until(lambda: (read_of(world) > 0 and " left" in screen.shown()) or process.poll() is not None, PATIENCE_S,
                       "the replay's first batch, and on the terminal how long it still takes")
            process.send_signal(signal.SIGINT)
            holder.close()
            begin = time.monotonic()
            out, _ = process.communicate(timeout=COMMAND_S_MAX)
            seconds = time.monotonic() - begin
        demand(process.returncode == 75 and "goes on there" in out, f"ended with {process.returncode}: {out}{screen.shown()}")
        demand(re.search(r"\r\x1b\[K[\d.]+ % of \d+ offsets, \d+ records/s, .+ left;", screen.shown()), screen.shown())
        stopped_at = read_of(world)
        demand(stopped_at > 0, "what was read before is forgotten")
        world.let_go()
        rest = replay(world, "--from", "beginning")
        demand("going on at" in rest.err, f"it began anew: {rest.err}")
        verified = finish(world, load, wrong)
        return f"stopped within {seconds:.1f} s after {stopped_at} records; then {said(rest)}; {verified}"


class Terminal:
    """What a command that takes it for its standard error shows on a terminal. `side` is its end."""

    def __init__(self):
        self._ours, self.side = os.openpty()
        os.set_blocking(self._ours, False)
        self._seen = b""

    def shown(self):
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._ours, 1 << 16):
                self._seen += part
        return self._seen.decode("utf-8", "replace")


def read_of(world):
    return int(world.sql("select coalesce(sum(greatest(next_offset, 0)), 0) from tidemark.replays")[0][0])


SCENARIOS = {
    "replay-twice-beside-the-group": twice_beside_the_group,
    "replay-topic-since": topic_since,
    "replay-stopped-and-resumed": stopped_and_resumed,
}
