"""No command tells a secret, whatever it says besides; no server is believed that isn't the right one."""

import json
import os
import shutil
import signal
import subprocess
import time

from ops.stack import Kafka, wait_until

from world import COMMAND_S_MAX, PATIENCE_S, demand

CANARY = "c4n4ry"
CONFIG, UNREACHABLE = 78, 69
# Each with what it needs to go as far as it can; the rest of the command line is the scenario's.
COMMANDS = (
    ("validate",), ("migrate",), ("migrate", "--print-grants"), ("migrate", "--check"), ("config", "show"), ("config", "schema"),
    ("status", "--json"), ("doctor",), ("doctor", "--json"), ("offsets", "show"), ("drift", "list"), ("parked", "list"),
    ("parked", "replay"), ("parked", "drop"), ("offsets", "reset", "--topic", "none", "--to", "earliest"),
    ("recount", "--aggregate", "aggregate_user", "--keys", "1"), ("replay", "--from", "beginning"),
    ("rebuild",), ("verify", "--patience", "1"), ("derive", "--rule", "u", "--users", "1"), ("parked", "show", "none", "0", "0"),
)


def no_secret(world, recording):
    """Passwords of Postgres and Kafka, from the file and from the environment, at the most talkative level."""
    world.make_database(recording.template)
    world.make_topics()
    world.migrate()
    recording.feed(world).some(0.2)
    postgres = world.stack.postgres
    config = world.write_config(
        "canary", world.stack.free_port(), connection=postgres.dsn(world.name, "tidemark_run") + " password=${PASSWORD}",
        kafka={"debug": "all", "sasl.username": "user", "sasl.password": CANARY + "1"})
    wrong = world.write_config("canary-wrong", world.stack.free_port(),
                               connection=f"host=127.0.0.1 port=1 dbname=none user=u password={CANARY}2",
                               kafka={"debug": "all", "sasl.password": CANARY + "3", "security.protocol": "sasl_plaintext",
                                      "sasl.mechanisms": "PLAIN", "sasl.username": "u"})
    broken = world.write_config("canary-broken", world.stack.free_port(), connection=f"host password={CANARY}4")
    environment = os.environ | {"PASSWORD": CANARY + "5", "TIDEMARK__KAFKA__SSL_KEY_PASSWORD": CANARY + "6",
                                "TIDEMARK__LOG__FORMAT": "logfmt"}
    said = 0
    for path in (config, wrong, broken):
        for command in COMMANDS if path == config else (("status",), ("doctor",), ("config", "show"), ("migrate",)):
            said += searched(world, (*command, "--log-level", "trace", "--config", path), environment)
    for command in (("run",), ("status", "--watch", "--interval", "1")):
        said += searched_until_stopped(world, command, config, environment)
    demand(said > 10_000, f"they said {said} bytes only: was the level taken?")
    return f"{len(COMMANDS) + 10} commands said {said} bytes and no secret"


def searched(world, arguments, environment):
    done = subprocess.run([world.binaries.plain, *arguments], capture_output=True, env=environment, stdin=subprocess.DEVNULL,
                          timeout=COMMAND_S_MAX, check=False)
    said = done.stdout + done.stderr
    demand(CANARY.encode() not in said, f"{arguments} tells a secret: {said[:2000]}")
    demand(done.returncode not in (64, 70), f"{arguments} ended with {done.returncode}: {done.stderr[-1000:]}")
    return len(said)


def searched_until_stopped(world, command, config, environment):
    with subprocess.Popen([world.binaries.plain, *command, "--log-level", "trace", "--config", config],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          env=environment) as process:
        time.sleep(2)  # it joins and reads; how far it comes is no matter
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=PATIENCE_S)
    demand(CANARY.encode() not in said, f"{command} tells a secret")
    return len(said)


# -- TLS ---------------------------------------------------------------------------------------------------------------

def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def authority(folder, name):
    """Makes an authority; returns the paths of its key and certificate."""
    key, certificate = os.path.join(folder, f"{name}.key"), os.path.join(folder, f"{name}.crt")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", key,
            "-out", certificate)
    return key, certificate


def certificate_for(folder, issuer, alternative):
    """A server's key and certificate for one name or address, like DNS:localhost."""
    key, request, certificate = (os.path.join(folder, f"server.{end}") for end in ("key", "csr", "crt"))
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", key, "-out", request)
    extension = os.path.join(folder, "server.ext")
    with open(extension, "w", encoding="utf-8") as out:
        out.write(f"subjectAltName={alternative}\n")
    openssl("x509", "-req", "-in", request, "-CA", issuer[1], "-CAkey", issuer[0], "-CAcreateserial", "-days", "2",
            "-extfile", extension, "-out", certificate)
    return key, certificate


def postgres_tls(world, recording):
    """The right authority, a wrong one, a wrong name; and a host beyond this machine that nobody verifies."""
    world.make_database(recording.template)
    world.migrate()
    postgres, folder = world.stack.postgres, world.stack.path(f"{world.name}-tls")
    os.makedirs(folder)
    right, wrong = authority(folder, "right"), authority(folder, "wrong")
    key, certificate = certificate_for(folder, right, "DNS:localhost")
    for path in (key, certificate):
        shutil.copy(path, postgres.data)
        shutil.chown(os.path.join(postgres.data, os.path.basename(path)), "postgres", "postgres")
        os.chmod(os.path.join(postgres.data, os.path.basename(path)), 0o600)
    postgres.execute("alter system set ssl = on")
    postgres.execute("select pg_reload_conf()")
    wait_until(lambda: postgres.execute("show ssl")[0][0] == "on", PATIENCE_S, "TLS is on")

    def status(host, authority_file, mode="verify-full", limits=""):
        dsn = (f"host={host} hostaddr=127.0.0.1 port={postgres.port} dbname={world.name} user=tidemark_run "
               f"sslmode={mode} sslrootcert={authority_file}")
        return world.command("status", config=world.write_config("tls", world.stack.free_port(), connection=dsn, limits=limits))
    answer = status("localhost", right[1])
    demand(answer.code == 0, f"with the right authority: {answer.code} {answer.err}")
    for host, authority_file, why in (("localhost", wrong[1], "a wrong authority"), ("db.example.org", right[1], "a wrong name")):
        answer = status(host, authority_file)
        demand(answer.code in (UNREACHABLE, CONFIG) and "certificate" in answer.err, f"{why}: {answer.code} {answer.err}")
    far = f"host=192.0.2.1 dbname={world.name} user=tidemark_run sslmode=require"
    answer = world.command("status", config=world.write_config("far", world.stack.free_port(), connection=far))
    demand(answer.code == CONFIG and "sslmode=verify-full" in answer.err and "192.0.2.1" in answer.err,
           f"a host that nobody verifies: {answer.code} {answer.err}")
    return "right authority 0; wrong authority and wrong name refused; a far host without verify-full 78"


def kafka_sasl_ssl(world, _recording):
    """The right password; a wrong one; a broker whose certificate has another name."""
    folder = world.stack.path(f"{world.name}-sasl")
    os.makedirs(folder)
    right = authority(folder, "right")
    key, certificate = certificate_for(folder, right, "DNS:localhost")
    keystore = os.path.join(folder, "keystore.pem")
    with open(keystore, "wb") as out:
        for path in (key, certificate):
            with open(path, "rb") as part:
                out.write(part.read())
    broker = Kafka(folder)
    address = broker.secure(keystore, {"tidemark": CANARY})
    broker.start()
    try:
        def found(servers, password, mechanism="PLAIN"):
            config = world.write_config("sasl", world.stack.free_port(), connection="host=127.0.0.1 port=1 dbname=none", kafka={
                "bootstrap.servers": servers, "security.protocol": "SASL_SSL", "sasl.mechanisms": mechanism,
                "sasl.username": "tidemark", "sasl.password": password, "ssl.ca.location": right[1]})
            answer = world.command("doctor", "--json", config=config)
            demand(CANARY not in answer.err + answer.out, "doctor tells the password")
            (gate,) = [check for check in json.loads(answer.out)["checks"]
                       if (check["side"], check["name"]) == ("kafka", "brokers")]
            return " ".join(finding["what"] for finding in gate["findings"])
        good = found(address, CANARY)
        demand(good == "", f"with the right password: {good}")
        refused = found(address, CANARY + "0")
        demand("no broker lets us in" in refused, f"with a wrong password: {refused}")
        other = found(address.replace("localhost", "127.0.0.1"), CANARY)
        demand("no broker lets us in" in other and "certificate" in other, f"with another name: {other}")
        # Debian 12's librdkafka can't do it with Kafka 4, and an operator is told so.
        scram = found(address, CANARY, "SCRAM-SHA-512")
        demand(scram == "" or "2.6.1" in scram, f"by SCRAM: {scram}")
        return f"right password well; wrong password and wrong name refused; SCRAM {'refused, and told why' if scram else 'well'}"
    finally:
        broker.stop()


ALONE = {"kafka-sasl-ssl": kafka_sasl_ssl}
SCENARIOS = {"no-secret-is-told": no_secret, "postgres-tls": postgres_tls}
