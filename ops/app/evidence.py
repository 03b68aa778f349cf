"""Which completed rows of user_challenges could ever have been earned, by the rows that ever were.

For histories that also take back: what was true at some moment left its rows in the change events. What each rule asks
for must be among them, with the block that the row names. They are not asked to have stood at one time.
"""
import collections

from derivation import PROFILE, RULES

UPLOADS = 3
FOLLOWED = 5
USER_FIELDS = {"profile_description": ("bio",), "profile_name": ("name",),
               "profile_picture": ("profile_picture", "profile_picture_sizes"),
               "profile_cover_photo": ("cover_photo", "cover_photo_sizes")}


class Evidence:
    """Takes the place of derivation.Ever. `starting_blocks`: challenge -> its starting_block."""

    def __init__(self, starting_blocks):
        self._starting_blocks = starting_blocks
        self._blocks = collections.defaultdict(set)   # what happened -> at which blocks
        self._things = collections.defaultdict(set)   # (what, user) -> which

    def note(self, table, row):
        """An image of a row that stood."""
        if table == "remixes":
            self._things["parents", row["child_track_id"]].add(row["parent_track_id"])
        elif row["is_current"]:
            getattr(self, "_" + table)(row)

    def has(self, key, block):
        challenge, specifier = key
        ids = [int(part, 16) for part in specifier.split(":")]
        return RULES.get(challenge) is None or getattr(self, "_earned_" + challenge)(ids, block)

    # -- what rows say
    def _user_events(self, row):
        user, referrer, block = row["user_id"], row["referrer"], row["blocknumber"]
        if row["is_mobile_user"]:
            self._blocks["mobile", user].add(block)
        if referrer is not None:
            self._blocks["referred", referrer, user].add(block)

    def _users(self, row):
        user = row["user_id"]
        self._things["verified", user].add(row["is_verified"])
        if row["handle_lc"] is not None and not row["is_deactivated"]:
            self._blocks["profile", user].add(row["blocknumber"])
            self._things["steps", user] |= {step for step, columns in USER_FIELDS.items()
                                            if any(row[column] is not None for column in columns)}

    def _tracks(self, row):
        self._things["owners", row["track_id"]].add(row["owner_id"])
        if not row["is_delete"] and not row["is_unlisted"] and row["stem_of"] is None and self._counts("u", row):
            self._things["uploads", row["owner_id"]].add(row["track_id"])
            self._blocks["upload", row["owner_id"]].add(row["blocknumber"])

    def _playlists(self, row):
        if not row["is_delete"] and self._counts("fp", row):
            self._blocks["playlist", row["playlist_owner_id"]].add(row["blocknumber"])

    def _counts(self, challenge, row):
        return row["blocknumber"] is not None and row["blocknumber"] >= (self._starting_blocks[challenge] or 0)

    def _follows(self, row):
        if not row["is_delete"]:
            self._things["follows", row["follower_user_id"]].add(row["followee_user_id"])
            self._blocks["profile", row["follower_user_id"]].add(row["blocknumber"])

    def _reposts(self, row):
        self._marked("repost", "reposts", row)

    def _saves(self, row):
        self._marked("save", "favorites", row)

    def _marked(self, what, step, row):
        if row["is_delete"]:
            return
        self._things["steps", row["user_id"]].add(step)
        self._blocks["profile", row["user_id"]].add(row["blocknumber"])
        if row[what + "_type"] == "track":
            self._blocks["marked", row["user_id"], row[what + "_item_id"]].add(row["blocknumber"])

    # -- what rules ask for
    def _earned_m(self, ids, block):
        return block in self._blocks["mobile", ids[0]]

    def _earned_r(self, ids, block):
        return block in self._blocks["referred", ids[0], ids[1]] and False in self._things["verified", ids[0]]

    def _earned_rv(self, ids, block):
        return block in self._blocks["referred", ids[0], ids[1]] and True in self._things["verified", ids[0]]

    def _earned_rd(self, ids, block):
        return block in self._blocks["referred", ids[1], ids[0]]

    def _earned_u(self, ids, block):
        return block in self._blocks["upload", ids[0]] and len(self._things["uploads", ids[0]]) >= UPLOADS

    def _earned_fp(self, ids, block):
        return block in self._blocks["playlist", ids[0]]

    def _earned_p(self, ids, block):
        steps = set(self._things["steps", ids[0]])
        if len(self._things["follows", ids[0]]) >= FOLLOWED:
            steps.add("follows")
        return block in self._blocks["profile", ids[0]] and steps == set(PROFILE)

    def _earned_cs(self, ids, block):
        actor, item = ids
        own = any(actor in self._things["owners", parent] for parent in self._things["parents", item])
        return (own and True in self._things["verified", actor] and bool(self._things["owners", item])
                and block in self._blocks["marked", actor, item])
