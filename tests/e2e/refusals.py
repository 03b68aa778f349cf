"""What Tidemark refuses, by exit code and with words that name the thing (FAULTS A8, A9, P5, and operators' slips)."""

import os
import re
import shutil
import time

from ops.stack import ports, wait_until

from world import PATIENCE_S, REPO, demand

CONFIG, DENIED, UNREACHABLE = 78, 77, 69
RUN_FAST_S_MAX = 30  # it waits a minute for what may pass


def _refused(world, config, code, words, *command):
    """A command (by default `run`) ends with this code and says these words."""
    answer = world.command(*(command or ("run",)), config=config)
    demand(answer.code == code, f"{command or 'run'} ended with {answer.code}, not {code}: {answer.err}")
    for word in words:
        demand(word in answer.err, f"{command or 'run'} does not say '{word}': {answer.err}")


def refusals(world, recording):
    world.make_database(recording.template)
    world.make_topics()
    world.migrate()
    feed, member = recording.feed(world), world.member()
    feed.some(0.3)
    world.wait_applied()
    done = [check(world) for check in (second_group, wrong_password, unreachable, bad_config, changed_declaration)]
    code = member.wait_exit(PATIENCE_S)
    demand(code == CONFIG, f"the member with the old declaration ended with {code}")
    # Back to the old declaration: its counters are new again, and a member goes on where it stopped.
    world_migrate = world.command("migrate", "--run-role", "tidemark_run")
    demand(world_migrate.code == 0, world_migrate.err)
    world.members.remove(member)
    world.member()
    feed.rest()
    world.wait_applied()
    figures = world.verify()
    done.append(newer_state(world))
    return f"{', '.join(done)}; {figures}"


def second_group(world):
    _refused(world, world.write_config("other-group", world.stack.free_port(), group=f"{world.name}-other"), CONFIG,
             (f"group '{world.name}'", f"'{world.name}-other'"))
    return "second group 78"


def wrong_password(world):
    postgres, role = world.stack.postgres, f"{world.name}_pw"
    postgres.execute(f"create role \"{role}\" login password 'right'")
    hba = os.path.join(postgres.data, "pg_hba.conf")
    with open(hba, encoding="utf-8") as text:
        rules = text.read()
    with open(hba, "w", encoding="utf-8") as out:
        out.write(f'host all "{role}" 127.0.0.1/32 scram-sha-256\n{rules}')
    postgres.execute("select pg_reload_conf()")
    config = world.write_config("password", world.stack.free_port(),
                                connection=postgres.dsn(world.name, role) + " password=hunter2")

    def denied():
        return world.command("status", config=config).code == DENIED
    wait_until(denied, PATIENCE_S, "the wrong password is denied")
    begin = time.monotonic()
    for command in (("status",), ("run",)):
        answer = world.command(*command, config=config)
        demand(answer.code == DENIED, f"{command} ended with {answer.code}: {answer.err}")
        demand("password" in answer.err, f"{command} does not say what is wrong: {answer.err}")
        demand("hunter2" not in answer.err + answer.out, f"{command} tells the password")
    demand(time.monotonic() - begin < RUN_FAST_S_MAX, "a wrong password is said too late")
    return "wrong password 77"


def unreachable(world):
    port = ports.reserve()
    config = world.write_config("unreachable", world.stack.free_port(),
                                connection=f"host=127.0.0.1 port={port} dbname={world.name} user=tidemark_run")
    for command in (("status",), ("offsets", "show"), ("parked", "list"), ("validate",)):
        _refused(world, config, UNREACHABLE, (str(port),), *command)
    ports.release(port)
    return "unreachable 69"


def bad_config(world):
    path = world.write_config("typo", world.stack.free_port(), limits="\n[limits]\nparked_maximum = 3\n")
    answer = world.command("status", config=path)
    demand(answer.code == CONFIG, f"a bad configuration ended with {answer.code}")
    demand(re.search(rf"^{re.escape(path)}:\d+:\d+: .*parked_maximum", answer.err, re.M), f"no file:line:column: {answer.err}")
    path = world.write_config("syntax", world.stack.free_port(), limits="\n[limits\n")
    answer = world.command("run", config=path)
    demand(answer.code == CONFIG and re.search(rf"^{re.escape(path)}:\d+:\d+: ", answer.err, re.M), answer.err)
    return "bad config 78 with file:line:column"


def changed_declaration(world):
    """Refused before `migrate`; after it the old declaration's members stop."""
    folder = world.stack.path(f"{world.name}-changed")
    for part in ("schemas", "sql"):
        shutil.copytree(os.path.join(REPO, part), os.path.join(folder, part))
    schemas = os.path.join(folder, "schemas")
    path = os.path.join(schemas, "tables", "follows.toml")
    with open(path, encoding="utf-8") as text:
        old = text.read()
    new = re.sub(r"(\[active\][^\[]*?)^is_delete = false\n", r"\1", old, flags=re.M)
    demand(new != old, f"{path} has another form than this scenario knows")
    with open(path, "w", encoding="utf-8") as out:
        out.write(new)
    config = world.write_config("changed", world.stack.free_port(), schemas=schemas)
    _refused(world, config, CONFIG, ("declaration", "tidemark migrate"))
    answer = world.command("migrate", "--run-role", "tidemark_run", config=config)
    demand(answer.code == 0 and "follower_count" in answer.out, f"migrate: {answer.code} {answer.out}{answer.err}")
    # The members with the old one hear of it with their next batch.
    world.client.produce(world.topic("follows"), None, key=b"{}", partition=0)
    return "changed declaration 78"


def newer_state(world):
    world.sql("update tidemark.state set schema_version = 999")
    _refused(world, None, CONFIG, ("999", "newer"))
    return "newer state 78"


SCENARIOS = {"refusals": refusals}
