"""Manual and completions know the commands and options that the program has, and no others."""

import re
import subprocess
import unittest

from support import path, read

EVERYWHERE = {"--config", "--log-level", "--help", "--version"}


def commands():
    """{"parked list": {"--topic", "--limit"}, ...} as consumer/main.cc makes them."""
    found, named = {}, {}
    text = read("consumer/main.cc")
    for function in re.split(r"\nvoid add_", text)[1:]:
        named = {"app": ""}
        for made in re.finditer(r'(?:CLI::App\* (\w+) =\s+)?(\w+)\s*(?:->|\.)\s*add_subcommand\(\s*"(\w+)"', function):
            variable, parent, name = made.groups()
            full = f"{named[parent]} {name}".strip()
            named[variable], found[full] = full, set()
        for group, parent in re.findall(r'(\w+) = (\w+)\s*->\s*add_option_group', function):
            named[group] = named[parent]
        for parent, name in re.findall(r'(\w+)\s*->\s*add_(?:option|flag)\(\s*"([^"]+)"', function):
            found[named[parent]].add(name)
    return found


def options(names):
    return {name for name in names if name.startswith("--")}


def completed(*words):
    """What bash offers behind these words, the last of which is being typed."""
    script = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tidemark; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    run = subprocess.run(
        ["bash", "-c", script, "bash", path("ops/completions/tidemark.bash"), "tidemark", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.split())


class CommandLine(unittest.TestCase):
    def test_the_commands_are_found_in_the_source(self):
        found = commands()
        self.assertIn("parked list", found)
        self.assertEqual(found["status"], {"--json", "--watch", "--interval"})
        self.assertGreater(len(found), 10)

    def test_bash_completes_each_command_and_its_options(self):
        for name, own in commands().items():
            words = name.split()
            self.assertIn(words[-1], completed(*words[:-1], words[-1][:1]), name)
            children = {other.split()[-1] for other in commands() if other.startswith(name + " ")}
            self.assertEqual(completed(*words, ""), options(own) | children | EVERYWHERE, name)

    def test_bash_completes_behind_options_that_take_a_value(self):
        self.assertIn("--limit", completed("--config", "run", "parked", "list", "--topic", "t", "--l"))
        self.assertEqual(completed("--log-level", "de"), {"debug"})

    def test_the_manual_names_each_command_and_option(self):
        text = read("ops/man/tidemark.1")
        told = {
            " ".join(words[:2])
            for words in (line.split()[2:] for line in text.splitlines() if line.startswith(".It Cm "))
        }
        flags = set(re.findall(r"Fl (-[a-z-]+)", text))
        for name, own in commands().items():
            if any(other.startswith(name + " ") for other in commands()):
                continue
            self.assertTrue(
                any(words == name or words.split()[0] == name for words in told), f"the manual doesn't tell of: {name}"
            )
            self.assertEqual({option[1:] for option in options(own)} - flags, set(), name)

    def test_the_manual_names_nothing_that_is_not_there(self):
        known = {option[1:] for own in commands().values() for option in options(own)} | {
            option[1:] for option in EVERYWHERE
        }
        self.assertEqual(set(re.findall(r"Fl (-[a-z-]+)", read("ops/man/tidemark.1"))) - known, set())

    def test_the_manual_is_well_formed(self):
        run = subprocess.run(
            ["mandoc", "-T", "lint", "-W", "warning", path("ops/man/tidemark.1")],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(run.stdout, "")

    def test_the_manual_names_each_exit_code(self):
        codes = re.findall(r"^\s*k\w+ = (\d+),", read("consumer/service/exit_code.h"), re.MULTILINE)
        text = read("ops/man/tidemark.1").split("EXIT STATUS")[1]
        self.assertEqual([code for code in codes if f"\n.It {code}\n" not in text], [])


if __name__ == "__main__":
    unittest.main()
