"""The Debian package holds what is needed, and works where it was unpacked."""

import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

from support import path, read

BUILD = path("build/release")


PASSWORDS = {
    "TIDEMARK_PASSWORD": "x",
    "TIDEMARK_MIGRATE_PASSWORD": "x",
    "TIDEMARK_HTTP_TOKEN": "0123456789abcdef",
}


def run(*command, cwd=None):
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **PASSWORDS}, check=False
    )
    return done.returncode, done.stdout + done.stderr


@unittest.skipUnless(
    os.access(os.path.join(BUILD, "tidemark"), os.X_OK), "there is no build/release/tidemark: run ops/build first"
)
class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tidemark-package-")
        code, said = run("cpack", "-G", "DEB", "-B", cls.folder, cwd=BUILD)
        found = glob.glob(os.path.join(cls.folder, "*.deb"))
        if code != 0 or not found:
            raise AssertionError(said)
        cls.package, cls.root = found[0], os.path.join(cls.folder, "root")
        run("dpkg-deb", "-x", cls.package, cls.root)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def inside(self, name):
        return os.path.join(self.root, "usr", name)

    def expect_valid(self, text):
        """The packaged program takes this configuration, with the packaged declarations."""
        config = os.path.join(self.folder, "tidemark.toml")
        with open(config, "w", encoding="utf-8") as out:
            out.write(
                re.sub(
                    r'^path = ".*"$',
                    f'path = "{self.inside("share/tidemark/example/schemas")}"',
                    text,
                    flags=re.MULTILINE,
                )
            )
        code, said = run(self.inside("bin/tidemark"), "validate", "--offline", "--config", config)
        self.assertEqual(code, 0, said)

    def test_the_program_runs_and_its_example_is_valid(self):
        with open(self.inside("share/tidemark/tidemark.example.toml"), encoding="utf-8") as example:
            self.expect_valid(example.read())

    def test_the_configurations_for_containers_and_kubernetes_are_valid(self):
        self.expect_valid(read("ops/compose/tidemark.toml"))
        for kubernetes in yaml.safe_load_all(read("ops/kubernetes/configuration.yaml")):
            self.expect_valid(kubernetes["data"]["tidemark.toml"])

    def test_it_depends_on_the_libraries_that_the_program_needs(self):
        _, control = run("dpkg-deb", "-f", self.package, "Depends")
        for library in ("librdkafka1", "libpqxx-6.4", "libpq5", "libsimdjson14", "libspdlog1.10", "libc6"):
            self.assertIn(library, control)

    def test_the_unit_starts_the_program_that_it_holds(self):
        unit = read("ops/systemd/tidemark.service")
        self.assertTrue(os.path.exists(self.inside("lib/systemd/system/tidemark.service")))
        self.assertIn("ExecStart=/usr/bin/tidemark run", unit)

    def test_manual_completions_alerts_and_runbook_are_in_it(self):
        for name in (
            "share/man/man1/tidemark.1.gz",
            "share/bash-completion/completions/tidemark",
            "share/zsh/vendor-completions/_tidemark",
            "share/tidemark/prometheus/alerts.yml",
            "share/tidemark/grafana/tidemark.json",
            "share/doc/tidemark/RUNBOOK.md",
            "share/doc/tidemark/copyright",
            "lib/tidemark/livez",
            "share/tidemark/example/sql/recounted/dominant_genre.sql",
        ):
            self.assertTrue(os.path.exists(self.inside(name)), name)

    def test_it_holds_no_kill_points_and_is_stripped(self):
        _, said = run("file", self.inside("bin/tidemark"))
        self.assertNotIn("not stripped", said)
        with open(self.inside("bin/tidemark"), "rb") as program:
            self.assertNotIn(b"TIDEMARK_KILL", program.read())


if __name__ == "__main__":
    unittest.main()
