"""Reading the repository's files."""

import glob
import os

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def path(name):
    return os.path.join(REPO, name)


def read(name):
    with open(path(name), encoding="utf-8") as file:
        return file.read()


def read_sources(folder, name="*"):
    """All C++ below a folder, or what of it has such a name, as one text."""
    files = sorted(
        file for kind in ("cc", "h") for file in glob.glob(path(f"{folder}/**/{name}.{kind}"), recursive=True)
    )
    return "\n".join(read(name) for name in files)
