"""The demo behind ops/demo: traffic with two kills on the stage that is set, the drain, the check.

Each part is a process of its own on a free port of 127.0.0.1, and is ended by its process id. The temporary folder goes
at the end; after a failure its logs stay.
"""
import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import closing

APP = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(APP))
sys.path[:0] = [REPO, APP]

import psycopg2  # noqa: E402

import checker  # noqa: E402
import derivation  # noqa: E402
import stage  # noqa: E402
import traffic  # noqa: E402
from ops.stack.process import StackError  # noqa: E402

CHANGES_MIN = 100_000
KEY_CHANGES_MIN = 1_000
COPY_ROWS_MIN = 1_000       # each of three COPYs has more rows than this
DRAIN_S_MAX = 300           # for a slow machine; past this something is stuck
POLL_S = 0.5
PROGRESS_S = 2.0


def say(text):
    print(text, flush=True)


class Demo:
    def __init__(self, arguments, scene):
        self.arguments, self.stage = arguments, scene
        self.began = time.monotonic()
        self.traffic = None
        self.actions = []            # threads of started actions
        self.failures = []           # what went wrong in them

    # -- watching
    def lag(self, ends, applied):
        """{"topic[partition]": records behind} of those that are. Heartbeats count when Tidemark reads them."""
        known = {topic for topic, _ in applied}
        return {f"{topic}[{partition}]": end - applied.get((topic, partition), 0)
                for (topic, partition), end in ends.items()
                if applied.get((topic, partition), 0) < end and (self.stage.is_watched(topic) or topic in known)}

    def progress(self):
        counts, applied = self.traffic.counts(), self.stage.applied()
        rows = sum(max(at, 0) for (topic, _), at in applied.items() if self.stage.is_watched(topic))
        lag = sum(self.lag(self.stage.end_offsets(), applied).values())
        alive = sum(member.process.running() for member in self.stage.members)
        say(f"{time.monotonic() - self.began:5.0f} s  {counts.changes:8,} changes  {counts.key_changes:7,} key changes  "
            f"{rows:8,} rows applied  {lag:7,} behind  {alive} of {len(self.stage.members)} members alive")

    # -- the script
    def script(self):
        """(part of the run after which it happens, what is said, what is done)."""
        scene, second = self.stage, self.stage.members[1]
        return [
            (0.10, "a transaction begins, and stays open over both kills", self.traffic.hold_open),
            (0.20, f"kill -9 of member 2 (process {second.process.pid}); member 1 takes over its partitions", second.kill9),
            (0.35, "member 2 starts again", second.start),
            (0.45, f"kill -9 of the Connect worker (process {scene.connect.process.pid}); "
                   "after its restart it will send changes a second time", scene.connect.kill9),
            (0.50, "the Connect worker starts again", scene.connect.start),
            (0.75, "the open transaction commits: changes with early positions, committed late", self.release),
        ]

    def release(self):
        if not self.traffic.release():
            raise stage.DemoFailed("the transaction that was held open could not be committed")

    def act(self, text, action):
        """Does it beside the progress line; some actions wait until a process is ready."""
        say(f"         * {text}")

        def guarded():
            try:
                action()
            except Exception as error:  # judged in the main thread
                self.failures.append(f"{text}: {error}")

        thread = threading.Thread(target=guarded, daemon=True)
        self.actions.append(thread)
        thread.start()

    def check_alive(self):
        if self.failures:
            raise stage.DemoFailed(self.failures[0])
        if self.traffic.failure:
            raise stage.DemoFailed(f"the traffic ended early: {self.traffic.failure!r}")
        self.stage.check_members()

    def drive(self):
        seconds = self.arguments.seconds
        self.traffic = traffic.Traffic(self.stage.dsn, traffic.Options(
            seed=self.arguments.seed, seconds=seconds, changes_min=CHANGES_MIN))
        script, start = self.script(), time.monotonic()
        say(f"traffic begins: {seconds:g} seconds, seed {self.arguments.seed}")
        self.traffic.seed()
        self.traffic.start()
        shown = 0.0
        while time.monotonic() < start + seconds:
            while script and time.monotonic() >= start + seconds * script[0][0]:
                # One after the other: a worker that is still starting is not killed again.
                _, text, action = script.pop(0)
                self.act(text, action)
            if time.monotonic() - shown >= PROGRESS_S:
                shown = time.monotonic()
                self.progress()
            self.check_alive()
            time.sleep(0.1)
        for thread in self.actions:
            thread.join(stage.READY_S_MAX)
        self.check_alive()
        self.traffic.stop()
        self.demand_minimum()

    def demand_minimum(self):
        counts = self.traffic.counts()
        say(f"traffic ends: {counts}")
        copies = sum(rows > COPY_ROWS_MIN for _, rows in counts.copies)
        for name, found, wanted in (("changes", counts.changes, CHANGES_MIN), ("key changes", counts.key_changes, KEY_CHANGES_MIN),
                                    (f"COPYs of over {COPY_ROWS_MIN} rows", copies, 3)):
            if found < wanted:
                raise stage.DemoFailed(f"the demo wants {wanted} {name}, and there were {found}: is this machine busy? "
                                       "give it more --seconds")

    # -- the end
    def drain(self):
        """Until Tidemark applied everything that is committed. First the slot passes the last commit: then all is in
        Kafka. Then the stored offsets pass the ends read after that. Then no cell waits for its recount, and no user to
        be derived."""
        say("waiting until the stream is drained")
        deadline = time.monotonic() + DRAIN_S_MAX
        (last,), = self.stage.sql("select pg_current_wal_insert_lsn()")
        self.wait(deadline, lambda: self.stage.slot_behind(last), "Debezium has not sent everything yet")
        ends = self.stage.end_offsets()
        self.wait(deadline, lambda: self.lag(ends, self.stage.applied()), "Tidemark has not applied everything yet")
        self.wait(deadline, self.stage.suspects, "cells still wait for their recount")
        self.wait(deadline, self.stage.dirty, "users still wait for their challenges")

    def wait(self, deadline, behind, text):
        """Until behind() is nothing; shows the progress meanwhile."""
        shown = time.monotonic()
        while True:
            left = behind()
            if not left:
                return
            self.check_alive()
            if time.monotonic() > deadline:
                raise stage.DemoFailed(f"{text}, after {DRAIN_S_MAX} s: {left}")
            if time.monotonic() - shown >= PROGRESS_S:
                shown = time.monotonic()
                self.progress()
                say(f"         {text}: {left}")
            time.sleep(POLL_S)

    def check_challenges(self):
        """Challenges and their rewards, derived from nothing by other code. True when all is right."""
        complete, rewards, milestones = self.stage.told()
        say(f"challenges completed: {complete}; users were told of {rewards} rewards and {milestones} milestones")
        with closing(psycopg2.connect(self.stage.dsn)) as connection:
            differences = derivation.compare(connection, grown=False)
        for difference in differences[:derivation.SHOWN_MAX]:
            say(difference)
        say(f"challenges and rewards that differ from a derivation from nothing: {len(differences)}")
        return not differences

    def check(self):
        self.progress()
        say("every counter is recomputed from the source tables, in one snapshot")
        result = checker.check(self.stage.dsn)
        for difference in result.differences[:checker.SHOWN_MAX]:
            say(str(difference))
        return result


def parse():
    parser = argparse.ArgumentParser(prog="ops/demo", description="Shows Tidemark at work on this machine.")
    parser.add_argument("--seconds", type=float, default=30, help="length of the traffic")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave everything running and say where")
    parser.add_argument("--no-build", action="store_true", help="take build/release/tidemark as it is")
    arguments = parser.parse_args()
    if arguments.seconds <= 0:
        parser.error("--seconds must be above 0")
    return arguments


def interrupted(number, frame):
    raise KeyboardInterrupt


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, interrupted)
    folder = tempfile.mkdtemp(prefix="tidemark-demo-")
    os.chmod(folder, 0o755)  # Postgres runs as its own user and passes through
    scene, result, good = stage.Stage(folder, say), None, False
    demo = Demo(arguments, scene)
    try:
        scene.start()
        demo.drive()
        demo.drain()
        right = demo.check_challenges()
        result = demo.check()
        good = right and result.good
    except KeyboardInterrupt:
        say("interrupted")
    except (stage.DemoFailed, StackError, RuntimeError, OSError, psycopg2.Error) as error:
        say(f"the demo failed: {error}")
    finally:
        if demo.traffic:
            demo.traffic.stopping.set()
        if arguments.keep and result:
            scene.keep()
        else:
            scene.end()
            clean(folder, good)
    if result:
        say(f"cells checked: {result.checked}, cells different: {result.different}")
    return 0 if good else 1


def clean(folder, good):
    """Removes the folder; after a failure only what is no log."""
    if good:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
    say(f"the logs are in {folder}")


if __name__ == "__main__":
    sys.exit(main())
