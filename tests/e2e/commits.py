"""Commits that are lost on their way to Postgres, and replies that are lost on their way back (FAULTS G1)."""

from ops.stack import wait_until

from world import PATIENCE_S, demand

CUTS, CUTS_LONG = 10, 100
PATIENT_MS = 60_000      # its session: what is fenced is so by a lost reply, and by nothing else


def lost_commits(world, recording):
    world.make_database(recording.template)
    world.make_topics()
    world.migrate()
    feed, proxy = recording.feed(world), world.proxy()
    feed.some(0.1)
    member = world.member(via=proxy, kafka={"session.timeout.ms": str(PATIENT_MS)})
    world.wait_applied()
    count = CUTS_LONG if world.long else CUTS
    for number in range(count):
        proxy.cut_at_commit(before=number % 2 == 0, touching="update tidemark.progress")
        feed.some(0.8 / count)
        proxy.wait_cuts(number + 1, PATIENCE_S)
        world.wait_applied()
    feed.rest()
    world.wait_applied()
    replies = [cut.reply for cut in proxy.cuts]
    lost = sum(reply == "COMMIT" for reply in replies)
    demand((replies.count(""), lost) == (count - count // 2, count // 2), f"the proxy cut {replies}")
    # The batch whose reply was lost is tried again, and must find that it is there already.
    wait_until(lambda: world.total("tidemark_fenced_batches_total", member) >= lost, PATIENCE_S, "lost replies are fenced")
    fenced = int(member.metric("tidemark_fenced_batches_total"))
    demand(fenced == lost, f"{fenced} batches fenced after {lost} lost replies")
    return f"{replies.count('')} COMMITs and {lost} replies lost, {fenced} batches fenced; {world.verify()}"


SCENARIOS = {"lost-commits": lost_commits}
