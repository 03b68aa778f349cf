"""The real stack on this machine: Postgres, Kafka, Connect with Debezium, a proxy, and members.

Needs what `ops/setup --stack` installs, and runs under /usr/bin/python3. All listens on free ports
of 127.0.0.1 and lives in one temp folder. Start at `Stack`.
"""

from .client import Client, Record
from .connect import Connect, debezium_config
from .kafka import Kafka
from .member import Member
from .postgres import Postgres
from .process import Process, StackError, run, wait_until
from .proxy import Proxy
from .stack import Stack

__all__ = ["Client", "Connect", "Kafka", "Member", "Postgres", "Process", "Proxy", "Record",
           "Stack", "StackError", "debezium_config", "run", "wait_until"]
