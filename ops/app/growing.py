"""Traffic that only adds rows, all in one block: what is true once stays so, in whatever order the rows arrive.

What was derived on the way must then be what a derivation from nothing gives (ops/app/derivation.py).
"""
import traffic
from traffic_sql import USER_EVENTS_INSERT


class Traffic(traffic.Traffic):
    def workers(self):
        return [Writer(self, n) for n in range(self.options.writers)]


class Writer(traffic.Writer):
    def __init__(self, run, number):
        super().__init__(run, number)
        self.actions, self.weights = [self.relate, self.first_events, self.newcomers], [24, 4, 2]

    def where(self):
        head = self.traffic.head
        return {"block": head, "blockhash": f"0xblock{head}", "slot": 100_000_000 + head - traffic.BLOCK_FIRST}

    def first_events(self, cursor, counts):
        """Of those who came during the run."""
        options = self.traffic.options
        ids = list(range(self.first_newcomer(), self.next_user, options.writers))
        referrers = [self.skewed(options.users) if self.random.random() < 0.4 else 0 for _ in ids]
        cursor.execute(USER_EVENTS_INSERT, dict(self.where(), ids=ids, referrers=referrers))
        counts.changes += cursor.rowcount
