"""Random histories, derived as they go, against ops/app/derivation.py, which derives from nothing.

TIDEMARK_HISTORIES: how many of each kind (12). TIDEMARK_SEED: only this one.
"""

import os

from world import World  # first: it says where ops/app is

import derivation
import histories

HISTORIES = int(os.environ.get("TIDEMARK_HISTORIES", "12"))
SEED = os.environ.get("TIDEMARK_SEED")
LENGTH = 120


class Histories(World):
    rewards = True

    def run_history(self, operations, grown):
        """The differences at its end."""
        self.setUp()
        self.sql("update challenges set active = true, starting_block = 20, "
                 "cooldown_days = case when id in ('m', 'fp') then 0 else 7 end, "
                 "step_count = case id when 'r' then 2 when 'rv' then 3 else step_count end")
        history, ever, dirty = histories.History(self, grown), derivation.Ever(), set()
        for operation in operations:
            dirty |= history.apply(operation)
            if operation[2]:
                self.derive_noting(dirty, ever)
                dirty = set()
        self.derive_noting(dirty, ever)
        differences = derivation.compare(self.session, grown=grown, ever=ever)
        return differences + [f"a sweep writes {row}" for row in self.derive(*histories.USERS)]

    def derive_noting(self, dirty, ever):
        ever.note(derivation.derive(self.session))
        self.derive(*dirty)

    def check(self, grown):
        for seed in [int(SEED)] if SEED else range(HISTORIES):
            operations = histories.make(seed, grown, LENGTH)
            differences = self.run_history(operations, grown)
            if differences:
                small = histories.shrink(operations, lambda some: bool(self.run_history(some, grown)))
                self.fail("\n".join([f"TIDEMARK_SEED={seed}, shrunk to {len(small)} operations:", *map(str, small),
                                     *self.run_history(small, grown)]))
            self.reached.update(row for row, in self.sql("select challenge_id from user_challenges where is_complete"))
        if not SEED:
            self.assertEqual({"m", "r", "rv", "rd", "u", "fp", "p", "cs"}, self.reached)

    def setUp(self):
        super().setUp()
        self.reached = getattr(self, "reached", set())

    def test_a_history_that_only_grows_gives_what_a_derivation_from_nothing_gives(self):
        self.check(grown=True)

    def test_any_other_history_is_held_between_what_is_true_now_and_what_ever_was(self):
        self.check(grown=False)
