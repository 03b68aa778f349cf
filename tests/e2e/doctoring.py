"""What an operator does when something is wrong: doctor names each fault until it is mended; parked records are dealt with."""

import json
import re
import time

from chain import Load
from recounts import recounting
from world import PATIENCE_S, demand

COUNT_TOO = """
create function public.e2e_count() returns trigger language plpgsql as $$ begin
    update public.aggregate_user set repost_count = repost_count where user_id = new.user_id; return null; end $$;
create trigger e2e_count after insert on public.reposts for each row execute function public.e2e_count();
"""
CONFIGS = "kafka.admin.ConfigCommand"  # kafka-configs.sh
SELDOM_MS = 3_600_000  # no fence comes after the load's end
SMALL_BYTES = 1024  # many events are longer


def diagnosis(world):
    """Errors and warnings, both as {check: [findings]}; each finding says why, and what mends it."""
    answer = world.command("doctor", "--json")
    demand(answer.code in (0, 1), f"doctor ended with {answer.code}: {answer.err}")
    said = json.loads(answer.out)
    findings = [(f"{check['side']} {check['name']}", found) for check in said["checks"] for found in check["findings"]]
    demand(all(found["why"] and found["mend"] for _, found in findings), f"a finding says too little: {findings}")
    errors, warnings = {}, {}
    for check, found in findings:
        (errors if found["level"] == "error" else warnings).setdefault(check, []).append(found)
    demand(answer.code == (1 if errors else 0), f"doctor ended with {answer.code} and found {errors}")
    return errors, warnings


def break_kafka(world, topic):
    world.stack.kafka.tool(CONFIGS, "--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config",
                           "cleanup.policy=[compact,delete],retention.ms=3600000")


def mend(world, command):
    """Does what a finding says."""
    statement = re.search(r'psql -c "([^"]+)"', command)
    if statement:
        world.sql(statement[1])
    else:
        words = re.fullmatch(r"kafka-configs\.sh --bootstrap-server BROKER (.*)", command)
        demand(words, f"nobody can do this: {command}")
        world.stack.kafka.tool(CONFIGS, *words[1].split())


def finds(world, faults, topic_warnings=False):
    """Exactly these errors are found, and warnings of topics' settings only where they may be; both as diagnosis gives
    them. On a machine that stands still for seconds, so may Debezium, but not for long."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        errors, warnings = diagnosis(world)
        if set(errors) == faults and (topic_warnings or "kafka topic settings" not in warnings):
            return errors, warnings
        demand(time.monotonic() < deadline, f"found: {errors} {warnings}, expected: {faults}")


def doctor(world):
    """Nothing is wrong with a group that runs; four faults are made and found; what is said to mend them, does."""
    with recounting(world, 61, seconds=4, pass_every_ms=SELDOM_MS) as load:
        world.wait_applied()
        finds(world, set())
        world.sql(COUNT_TOO)
        world.sql("alter table public.saves replica identity default")
        break_kafka(world, world.topic("saves"))
        errors, warnings = finds(world, {"postgres counting triggers", "postgres replica identity", "kafka topic settings"},
                                 topic_warnings=True)
        (short,) = warnings["kafka topic settings"]
        demand("1 h 00 min" in short["what"], f"warned: {warnings}")
        beside = world.command("migrate", "--check")
        demand(beside.code == 1 and "trigger e2e_count" in beside.out, f"migrate --check: {beside.code} {beside.out}{beside.err}")
        for (found,) in errors.values():
            mend(world, found["mend"])
        finds(world, set(), topic_warnings=True)
        counts = load.finish()
        world.wait_streamed()
        world.wait_applied()
        return f"4 faults found and mended as told; {counts}; {world.verify()}"


def parked(world):
    """Many records are too large for a member's limits. With others they are replayed; the rest is dropped."""
    world.make_database()
    world.make_topics()
    world.make_connector()
    world.migrate()
    world.member(limits=f"\n[limits]\nmessage_bytes_max = {SMALL_BYTES}\nparked_max = 1000000\n")
    load = Load(world, 62, seconds=3)
    try:
        counts = load.finish()
    finally:
        load.abandon()
    world.wait_streamed()
    junk = world.topic("follows")
    world.client.produce(junk, b'{"before": ', key=b"{}", partition=1)
    world.wait_applied()
    large = world.sql("select topic, partition, count(*) from tidemark.parked where code = 'too_large' group by 1, 2")
    demand(large, f"nothing was parked; {counts}")
    topic, partition, count = large[0]
    one = world.command("parked", "replay", "--topic", topic, "--partition", str(partition), "--code", "too_large")
    demand(one.code == 0 and f"replayed {count} parked" in one.out, f"parked replay: {one.code} {one.out}{one.err}")
    rest = world.command("parked", "replay")
    demand(rest.code == 65 and "1 stay: bad_json" in rest.out, f"parked replay: {rest.code} {rest.out}{rest.err}")
    kept = world.command("parked", "drop", "--topic", junk)
    demand("1 parked records would be dropped" in kept.out, f"parked drop: {kept.out}{kept.err}")
    gone = world.command("parked", "drop", "--topic", junk, "--yes")
    demand(gone.code == 0 and not world.sql("select 1 from tidemark.parked"), f"parked drop: {gone.out}{gone.err}")
    none = world.command("parked", "drop", "--topic", junk, "--yes")
    demand(none.code == 65, f"parked drop of nothing ended with {none.code}")
    replayed = sum(row[2] for row in large)
    return f"{replayed} too large ones replayed, 1 that is no JSON dropped; {counts}; {world.verify()}"


SCENARIOS = {"doctor-finds-and-mends": doctor, "parked-replayed-and-dropped": parked}
