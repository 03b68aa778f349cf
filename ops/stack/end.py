"""Ends a stack that was kept: /usr/bin/python3 -m ops.stack.end FOLDER"""

import os
import shutil
import sys

from . import warden


def main(arguments: list[str]) -> int:
    """Kills the processes that the folder lists, if they are still those; removes the folder."""
    if len(arguments) != 1 or not os.path.isfile(os.path.join(arguments[0], "processes")):
        print("usage: python3 -m ops.stack.end FOLDER, as a kept stack printed it", file=sys.stderr)
        return 2
    with open(os.path.join(arguments[0], "processes"), encoding="ascii") as listed:
        for line in listed:
            pid, started = line.split()
            warden.kill_tree(int(pid), started)
    shutil.rmtree(arguments[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
