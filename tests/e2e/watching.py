"""`tidemark status --watch`: in place on a terminal, as blocks in a pipe, across an outage, until somebody ends it."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
import threading

from ops.stack import wait_until

from world import PATIENCE_S, demand

COLUMNS, ROWS = 60, 12  # less than it has to say
ENTER, LEAVE, HOME, CLEAR = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H", "\x1b[J"
END_S_MAX = 60


class Watch:
    """The command at work; `text` is all that it has said so far."""

    def __init__(self, world, config, terminal):
        self.said, argv = bytearray(), [world.binaries.plain, "status", "--watch", "--interval", "1", "--config", config]
        if terminal:
            self._out, theirs = os.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        else:
            self._out, theirs = os.pipe()
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE,
                                        env=os.environ | {"TERM": "xterm"})
        os.close(theirs)
        self._listening = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self):
        return self.said.decode().replace("\r\n", "\n")

    def wait(self, pattern, what, begin=None):
        """Until it says this behind the beginning; by default, behind all that was said until now."""
        begin = len(self.text) if begin is None else begin
        wait_until(lambda: re.search(pattern, self.text[begin:], re.MULTILINE), PATIENCE_S, f"status --watch shows {what}")

    def hang_up(self):
        """Nobody reads it any more; returns its exit code."""
        self._listening = False
        return self.process.wait(END_S_MAX)

    def end(self, number):
        """The exit code after this signal."""
        self.process.send_signal(number)
        code = self.process.wait(END_S_MAX)
        self._reader.join(END_S_MAX)
        demand(not self.process.stderr.read(), "it said something on standard error")
        return code

    def abandon(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def _read(self):
        while self._listening:
            try:
                part = os.read(self._out, 65536)
            except OSError:  # a terminal whose other side is closed
                break
            if not part:
                break
            self.said += part
        os.close(self._out)


def on_a_terminal(world, config, feed):
    watch = Watch(world, config, terminal=True)
    try:
        watch.wait("records/s", "a frame")
        begin = len(watch.text)
        feed.some(0.3)
        watch.wait(r"^applied +[1-9]", "a rate", begin)
        code = watch.end(signal.SIGINT)
    finally:
        watch.abandon()
    demand(code == 0, f"Ctrl-C ended it with {code}")
    text = watch.text
    demand(text.startswith(ENTER) and text.endswith(LEAVE), f"the terminal is not restored: {text[:40]!r} {text[-40:]!r}")
    frames = text.removeprefix(ENTER).removesuffix(LEAVE).split(HOME)[1:]
    demand(len(frames) > 1 and all(frame.endswith(CLEAR) for frame in frames), f"it does not draw in place: {frames[:2]}")
    for frame in frames:
        lines = re.sub(r"\x1b\[[JK]", "", frame).split("\n")
        demand(len(lines) == ROWS and lines[-1].startswith("… "), f"{len(lines)} lines on {ROWS} rows, the last {lines[-1]!r}")
        demand(max(map(len, lines)) <= COLUMNS, f"a line wraps: {max(lines, key=len)!r}")
    return len(frames)


def in_a_pipe(world, config, proxy, owner):
    """Without a terminal: whole lines, no escape; an outage of Postgres is told and outlasted."""
    watch = Watch(world, config, terminal=False)
    try:
        watch.wait(r"follows .*\d  \d{4}-", "partitions")
        proxy.refuse(True)
        proxy.cut_all()
        watch.wait("^NO LOOK AT POSTGRES", "the outage")
        proxy.refuse(False)
        watch.wait(r"^group .*\n(?!NO LOOK)", "Postgres again")
        code = watch.end(signal.SIGTERM)
    finally:
        watch.abandon()
    demand(code == 0, f"SIGTERM ended it with {code}")
    blocks = watch.text.split("\n\n")
    demand("\x1b" not in watch.text, "a pipe gets escapes")
    demand(all(block.startswith("group ") and "lag " in block for block in blocks), f"blocks are not whole: {blocks[:2]}")
    demand(re.search(rf"^{world.topic('users')} .*:{owner.process.pid}$", blocks[0], re.M), f"no owner: {blocks[0]}")


def nobody_reads(world, config):
    watch = Watch(world, config, terminal=False)
    try:
        watch.wait("group ", "a block")
        code = watch.hang_up()
    finally:
        watch.abandon()
    demand(code == 0, f"it ended with {code} when nobody read it any more")


def watched(world, recording):
    world.make_database(recording.template)
    world.make_topics()
    world.migrate()
    feed, proxy = recording.feed(world), world.proxy()
    member = world.member()
    feed.some(0.3)
    world.wait_applied()
    config = world.write_config("watch", world.stack.free_port(), connection=proxy.dsn(world.name, "tidemark_run"))
    frames = on_a_terminal(world, config, feed)
    in_a_pipe(world, config, proxy, member)
    nobody_reads(world, config)
    for wrong in (("--interval", "1"), ("--watch", "--interval", "0"), ("--watch", "--json")):
        demand(world.command("status", *wrong).code == 64, f"status {wrong} is taken")
    feed.rest()
    world.wait_applied()
    return f"{frames} frames on a terminal, an outage outlasted in a pipe; {world.verify()}"


SCENARIOS = {"status-watched": watched}
