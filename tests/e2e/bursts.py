"""Far more waits in Kafka than a member may hold (FAULTS A7): it takes it in parts, and its memory stays where it is."""

from ops.stack import wait_until

from world import PATIENCE_S, demand

QUEUE_KIB = 8_192
TIMES = 20                   # of the queue
OVERHEAD_MIB = 80            # program, fold, librdkafka's fetches in flight and their copies


def peak_mib(member):
    """The most memory that its process ever had."""
    with open(f"/proc/{member.process.pid}/status", encoding="ascii") as status:
        (kib,) = [line.split()[1] for line in status if line.startswith("VmHWM:")]
    return int(kib) / 1024


def burst(world, recording):
    """All of the recording, again and again: what comes again is not counted again."""
    world.make_database(recording.template)
    world.make_topics()
    world.migrate()
    sent = 0
    while sent < TIMES * QUEUE_KIB * 1024:
        feed = recording.feed(world)
        feed.rest()
        sent += feed.sent_bytes
    member = world.member(kafka={"queued.max.messages.kbytes": str(QUEUE_KIB)})
    wait_until(member.is_ready, PATIENCE_S, "the member is ready")
    before = peak_mib(member)
    world.wait_applied()
    peak = peak_mib(member)
    demand(peak < QUEUE_KIB / 1024 + OVERHEAD_MIB, f"{peak:.0f} MiB at most for a queue of {QUEUE_KIB / 1024:g}")
    return f"{sent / 2**20:.0f} MiB waited, {peak:.0f} MiB of memory at most ({before:.0f} when ready); {world.verify()}"


SCENARIOS = {"burst": burst}
