"""What the source tables ever held, by Debezium's change events: every image of every row."""

import json

import announced
import derivation
import evidence


def read(world):
    """(announced.History, evidence.Evidence) of all that the world's topics hold."""
    rows = world.sql("select id, starting_block from challenges")
    counted, earned = announced.History(), evidence.Evidence(dict(rows))
    for table in world.tables:
        for record in world.client.records(world.topic(table)):
            if record.value is None:
                continue
            event = json.loads(record.value)
            counted.note(table, event["before"], event["after"], record.partition, event["source"]["lsn"])
            if event["after"] is not None:
                earned.note(table, event["after"])
    return counted, earned


def differences(world, grown):
    """All that stands of challenges, rewards and milestones against the source tables and their past."""
    counted, earned = read(world)
    with world.session() as connection:
        return (derivation.compare(connection, grown=grown, ever=earned) + announced.compare(connection, counted))
