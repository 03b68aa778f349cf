"""Records that can't be taken are put aside and shown, and the stream goes on; a broker that is down ends nothing."""

import time

from ops.stack import wait_until

from world import PATIENCE_S, demand

JUNK = {
    b'{"before": ': "cut off",
    b"\x00\x00\x00\x00\x07binary": "Confluent's magic byte",
    b'{"op": "c", "after": {"follower_user_id": "seven"}}': "no source, a string for an int",
    b"\xff\xfe": "bad UTF-8",
    b"[" * 5000: "nested too deep",
    b"[]": "no object",
}
DOWN_S, DOWN_S_LONG = 20, 300


def parked(world, recording):
    world.make_database(recording.template)
    world.make_topics()
    world.migrate()
    feed, member = recording.feed(world), world.member()
    topic = world.topic("follows")
    feed.some(0.3)
    for value in JUNK:
        world.client.produce(topic, value, key=b"{}", partition=1)
        feed.some(0.05)
    feed.rest()
    world.wait_applied()
    rows = world.sql('select "offset", code, reason, payload from tidemark.parked order by 1')
    demand([bytes(row[3]) for row in rows] == list(JUNK), f"parked are {[(r[1], r[2]) for r in rows]}")
    demand(all(code and reason for _, code, reason, _ in rows), f"without code or reason: {rows}")
    listed = world.command("parked", "list").out
    demand(all(f"{topic} [1] {at}  " in listed and code in listed and reason in listed for at, code, reason, _ in rows),
           f"parked list prints {listed}")
    demand(f"{len(JUNK)} of {len(JUNK)} parked records" in listed, f"parked list prints {listed}")
    demand("seven" not in listed, "parked list tells a value")
    shown = world.command("parked", "show", topic, "1", str(rows[2][0])).out
    demand("seven" in shown and rows[2][2] in shown, f"parked show prints {shown}")
    demand(world.command("parked", "show", topic, "0", "0").code == 65, "parked show of nothing is no error")
    wait_until(lambda: world.total("tidemark_parked_total", member) >= len(JUNK), PATIENCE_S, "the metric tells of each")
    demand(member.metric("tidemark_parked_total") == len(JUNK), "the metric is another number")
    wait_until(member.is_ready, PATIENCE_S, "the member is ready")
    return f"{len(JUNK)} records parked as {sorted({row[1] for row in rows})}; {world.verify()}"


def broker_down(world, recording):
    """The member lives on without a broker, says that it isn't ready, and recovers by itself."""
    world.make_database(recording.template)
    world.make_topics()
    world.migrate()
    feed, member = recording.feed(world), world.member()
    feed.some(0.5)
    world.wait_applied()
    seconds = DOWN_S_LONG if world.long else DOWN_S
    world.stack.kafka.kill9()
    begin, unready = time.monotonic(), None
    while time.monotonic() - begin < (seconds if unready is not None else PATIENCE_S):
        demand(member.is_live(), f"/livez answers {member.get('/livez')} while the broker is down")
        status, why = member.get("/readyz")
        if status != 200 and unready is None:
            unready = time.monotonic() - begin
            demand(status == 503 and "roker" in why, f"/readyz answers {status} {why}")
        demand(unready is None or status == 503, "ready again while the broker is down")
        time.sleep(0.2)
    demand(unready is not None, "/readyz stayed 200 without a broker")
    world.stack.kafka.start()
    begin = time.monotonic()
    feed.rest()
    wait_until(member.is_ready, PATIENCE_S, "the member is ready again")
    ready = time.monotonic() - begin
    world.wait_applied()
    return (f"down {seconds} s, live all the while, unready after {unready:.1f} s, ready again {ready:.1f} s after it came "
            f"back; {world.verify()}")


SCENARIOS = {"parked-records": parked}
ALONE = {"broker-down": broker_down}
