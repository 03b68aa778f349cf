"""Records that are gone before they were read (FAULTS K3): noticed, stored, said, and never jumped over silently."""

from ops.stack import wait_until

from world import PARTITIONS, PATIENCE_S, demand

FOLLOW_COLUMNS = {"follower_count", "following_count"}


def _applied_part(world, recording):
    """Six tenths of the recording are applied, and the member has left."""
    world.make_database(recording.template)
    world.make_topics()
    world.migrate()
    feed, member = recording.feed(world), world.member()
    feed.some(0.6)
    world.wait_applied()
    demand(member.stop(PATIENCE_S) == 0, "the member did not leave by itself")
    return feed, member


def _expect_loss(world, member, topic):
    """The loss is in the log, the metric, `status` and the stored suspects; the member lives."""
    wait_until(lambda: world.total("tidemark_data_loss_total", member) >= 1, PATIENCE_S, "data loss is noticed")
    world.wait_applied()
    status = world.status()
    lost = [p for p in status["partitions"] if "data_loss" in p]
    demand(lost and all(p["topic"] == topic for p in lost), f"status says lost: {lost}")
    demand(status["suspect_ranges"] > 0, "no range became suspect")
    demand("DATA_LOSS" in world.command("status").out, "status without --json does not say DATA_LOSS")
    with open(member.log, encoding="utf-8", errors="replace") as log:
        demand(any("DATA_LOSS" in line and topic in line for line in log), "the log does not say DATA_LOSS")
    wait_until(member.is_ready, PATIENCE_S, "the member is ready again")
    reasons = sorted({p["data_loss"]["reason"] for p in lost})
    return f"{len(lost)} partitions ({'; '.join(reasons)}), {status['suspect_ranges']} ranges suspect"


def topic_made_anew(world, recording):
    """The new topic holds only what was not applied yet, so the counters still come out right."""
    feed, member = _applied_part(world, recording)
    topic = world.topic("follows")
    world.stack.kafka.client.delete_topic(topic)
    wait_until(lambda: world.client.partitions(topic) == 0, PATIENCE_S, "the end of the topic")
    world.make_topics(("follows",))
    feed.rest()
    member.start()
    return f"{_expect_loss(world, member, topic)}; {world.verify(whole=False)}"


def records_purged(world, recording):
    feed, member = _applied_part(world, recording)
    topic = world.topic("follows")
    stored = world.applied()
    feed.some(0.2)
    purged = {partition: (stored[topic, partition] + end) // 2 for partition, end in world.client.end_offsets(topic).items()}
    demand(all(at > stored[topic, partition] for partition, at in purged.items()), f"nothing to purge: {purged}")
    world.client.delete_records(topic, purged)
    member.start()
    lost = _expect_loss(world, member, topic)
    feed.rest()
    world.wait_applied()
    world.tolerated = FOLLOW_COLUMNS
    return f"{lost}; others than follows right: {world.verify(whole=False)}"


def last_record_purged(world, recording):
    """The stored offset itself is still there, only the record before it is gone: nothing is lost."""
    feed, member = _applied_part(world, recording)
    topic = world.topic("follows")
    stored = world.applied()
    world.client.delete_records(topic, {partition: stored[topic, partition] for partition in range(PARTITIONS)})
    member.start()
    feed.rest()
    world.wait_applied()
    status = world.status()
    demand(status["data_loss_partitions"] == 0 and member.metric("tidemark_data_loss_total") == 0,
           f"a loss is claimed where there was none: {status}")
    return f"no loss claimed; {world.verify()}"


SCENARIOS = {
    "loss-topic-made-anew": topic_made_anew,
    "loss-records-purged": records_purged,
    "loss-only-the-last-record": last_record_purged,
}
