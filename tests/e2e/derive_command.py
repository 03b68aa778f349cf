"""`tidemark derive`: what it refuses, whom it marks, and that it can be stopped. No member runs: nothing is derived."""

import contextlib
import signal
import subprocess

from ops.stack import wait_until

from world import COMMAND_S_MAX, PATIENCE_S, demand

USERS = 30_000     # a walk of six steps
STEP_S = 0.2       # a step is slowed down to this
CHECKPOINT = "challenges:m:last_blocknumber"
MARKS = "select user_id, array_to_string(rules, '+') from tidemark.dirty order by 1"


def _derive(world, *arguments, code=0):
    answer = world.command("derive", *arguments)
    demand(answer.code == code, f"derive {arguments} ended with {answer.code}: {answer.out}{answer.err}")
    return answer.out + answer.err


def _marked(world):
    """Who is marked; and nobody is afterwards."""
    marks = world.sql(MARKS)
    world.sql("delete from tidemark.dirty")
    return marks


def marks_whom_it_is_asked_for(world):
    """Mobile users in blocks 10, 20, ..., one of them without a block, and a checkpoint above all."""
    world.make_database()
    world.recounted = True
    world.sql("insert into blocks select 'b' || n, n from generate_series(10, 50, 10) n")
    world.sql("insert into user_events (user_id, is_mobile_user, is_current, blocknumber) "
              "select n / 10, true, true, n from generate_series(10, 50, 10) n union all select 9, true, true, null")
    world.migrate()
    world.sql("update indexing_checkpoints set last_checkpoint = 100")
    _refuses(world)
    told = _derive(world, "--rule", "m", "--rule", "p", "--users", "3,1,3")
    demand(_marked(world) == [(1, "m+p"), (3, "m+p")], "others than these users are marked")
    demand("rule m: 2 users marked" in told and "rule p: " in told, told)
    _derive(world, "--rule", "m", "--since-block", "30")
    demand(_marked(world) == [(4, "m"), (5, "m"), (9, "m")], "not those above the block, and the one without")
    at = dict(world.sql("select tablename, last_checkpoint from indexing_checkpoints"))
    demand(at[CHECKPOINT] == 30, f"the checkpoint is {at[CHECKPOINT]}, not lowered to the block")
    demand({value for key, value in at.items() if key != CHECKPOINT} == {100}, f"other checkpoints moved: {at}")
    _derive(world, "--rule", "m", "--since-block", "40")
    demand(world.sql("select last_checkpoint from indexing_checkpoints where tablename = %s", (CHECKPOINT,)) == [(30,)],
           "a checkpoint was raised: changes below would be lost")
    _derive(world, "--rule", "m", "--all")
    demand([user for user, _ in _marked(world)] == [1, 2, 3, 4, 5, 9], "--all leaves users out")
    return _stopped(world)


def _refuses(world):
    for arguments, code, words in (
            (("--rule", "nosuch", "--all"), 78, ("no rule 'nosuch' is declared", " rd,", " rv,")),
            (("--rule", "m", "--rule", "nosuch", "--all"), 78, ("no rule 'nosuch' is declared",)),
            (("--all",), 64, ("--rule",)), (("--rule", "m"), 64, ("--since-block", "--users", "--all")),
            (("--rule", "m", "--all", "--users", "1"), 64, ("--users",)),
            (("--rule", "m", "--users", "x"), 64, ("--users",)), (("--rule", "m", "--since-block", "x"), 64, ("--since",))):
        told = _derive(world, *arguments, code=code)
        demand(all(word in told for word in words), f"derive {arguments} says: {told}")
    demand(not _marked(world), "a refused command marked users")


def _stopped(world):
    """Ctrl-C in the midst of a walk: whole steps are stored, and the next run marks the rest."""
    world.sql("insert into blocks select 'b' || n, n from generate_series(51, 250) n")
    world.sql("insert into user_events (user_id, is_mobile_user, is_current, blocknumber) "
              f"select n, true, true, 51 + n % 200 from generate_series(100, {USERS + 99}) n")
    holder = world.held_after_first("insert on tidemark.dirty", "select from tidemark.dirty", STEP_S)
    command = [world.binaries.plain, "derive", "--rule", "m", "--all", "--config",
               world.write_config("cli", world.stack.free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          text=True) as process, contextlib.closing(holder):
        wait_until(lambda: world.sql(MARKS + " limit 1") or process.poll() is not None, PATIENCE_S, "the first step")
        process.send_signal(signal.SIGINT)
        holder.close()
        out, err = process.communicate(timeout=COMMAND_S_MAX)
    demand(process.returncode == 75 and "and stopped" in out, f"ended with {process.returncode}: {out}{err}")
    (marked,), = world.sql("select count(*) from tidemark.dirty")
    demand(0 < marked < USERS, f"{marked} users are marked")
    demand(f"rule m: {marked} users marked" in out, f"it says other than the {marked} that are stored: {out}")
    world.let_go()
    _derive(world, "--rule", "m", "--all")
    (total,), = world.sql("select count(*) from tidemark.dirty")
    demand(total == USERS + 6, f"{total} of {USERS + 6} users are marked after another run")
    return f"stopped after {marked} of {total} users; the next run marked the rest"


SCENARIOS = {"derive-command": marks_whom_it_is_asked_for}
