"""Where the jars are, and how a JVM of the stack is started."""

import glob
import os

from .process import StackError

_REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_LOGGING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "log4j2.properties")

# The client compiler and the serial collector: start-up counts here, and two cores are shared.
_FLAGS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:-UsePerfData",
          "-Djava.awt.headless=true", "-Djava.net.preferIPv4Stack=true",
          f"-Dlog4j2.configurationFile={_LOGGING}", "-Dlog4j2.disable.jmx=true"]


def cache() -> str:
    """The folder that ops/setup --stack fills."""
    return os.environ.get("TIDEMARK_CACHE") or os.path.join(_REPO, ".cache")


def command(main: str, *arguments: str, heap_mib: int = 256, level: str = "WARN") -> list[str]:
    """The argv of a JVM that runs `main` from Kafka's jars."""
    libs = os.path.join(cache(), "kafka-4.3.1", "libs")
    if not os.path.exists(libs + ".stamp"):
        raise StackError(f"Kafka's jars are not in {libs}: run ops/setup --stack")
    return [_java(), f"-Xmx{heap_mib}m", "-Xms32m", *_FLAGS, f"-Dtidemark.log.level={level}",
            "-cp", f"{libs}/*", main, *arguments]


def _java() -> str:
    """Debian's Java 17, whatever other Java stands first on PATH."""
    found = sorted(glob.glob("/usr/lib/jvm/java-17-openjdk-*/bin/java"))
    return found[0] if found else "java"


def plugins() -> str:
    """The plugin folder of the Connect worker."""
    folder = os.path.join(cache(), "connect-plugins")
    if not os.path.exists(os.path.join(folder, "debezium-connector-postgres.stamp")):
        raise StackError(f"Debezium's jars are not in {folder}: run ops/setup --stack")
    return folder


def write_properties(path: str, settings: dict[str, str]) -> None:
    """Writes a Java properties file."""
    with open(path, "w", encoding="utf-8") as out:
        for key, value in settings.items():
            out.write(f"{key}={value}\n")
