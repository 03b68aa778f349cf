"""The systemd unit is taken, is closed to the outside, and fits what the service does."""

import re
import subprocess
import tempfile
import os
import unittest

from support import path, read

UNIT = "ops/systemd/tidemark.service"
EXPOSURE_MAX = 2.0


def said_by(*command):
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout + run.stderr


class Unit(unittest.TestCase):
    def test_systemd_finds_no_fault_in_it(self):
        with tempfile.TemporaryDirectory() as folder:
            unit = os.path.join(folder, "tidemark.service")
            with open(unit, "w", encoding="utf-8") as out:  # with a command that is here
                out.write(read(UNIT).replace("/usr/bin/tidemark", "/bin/true"))
            self.assertEqual(said_by("systemd-analyze", "verify", "--man=no", unit), "")

    def test_its_exposure_is_two_or_better(self):
        said = said_by("systemd-analyze", "security", "--offline=true", "--no-pager", path(UNIT))
        exposure = re.search(r"exposure level for tidemark.service: ([\d.]+)", said)
        self.assertLessEqual(float(exposure[1]), EXPOSURE_MAX, said)

    def test_it_doesnt_restart_what_a_person_must_mend(self):
        codes = dict(re.findall(r"^\s*(k\w+) = (\d+),", read("consumer/service/exit_code.h"), re.MULTILINE))
        prevented = re.search(r"^RestartPreventExitStatus=(.*)$", read(UNIT), re.MULTILINE)[1].split()
        self.assertEqual(prevented, [codes["kUsage"], codes["kDenied"], codes["kConfig"]])

    def test_it_gives_time_to_start_and_to_drain(self):
        service = read("consumer/service/service.cc")
        for setting, constant in (("TimeoutStartSec", "kStartPatience"), ("TimeoutStopSec", "kExitPatience")):
            given = int(re.search(rf"^{setting}=(\d+)$", read(UNIT), re.MULTILINE)[1])
            self.assertGreater(given, int(re.search(rf"{constant}\{{(\d+)\}}", service)[1]), setting)


if __name__ == "__main__":
    unittest.main()
