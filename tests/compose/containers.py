"""What a container is made of, without one: a root that is a copy on write of this machine's, mounts, a network.

For a process that has mount, network and process namespaces of its own already; all goes when it ends.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUBNET = "10.213.0"
BRIDGE = "tidemark0"
TAIL_LINES = 25


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Network:
    """A bridge, and the folder for all roots, in memory."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="tidemark-compose-")
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.folder], check=True)
        os.chmod(self.folder, 0o755)
        os.makedirs("/run/netns", exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("addr", "add", f"{SUBNET}.1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        ip("link", "set", "lo", "up")
        self.members = 0

    def join(self, name):
        """A new network namespace on the bridge; its address."""
        self.members += 1
        address, link = f"{SUBNET}.{self.members + 1}", f"veth{self.members}"
        ip("netns", "add", name)
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", link, "master", BRIDGE, "up")
        ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        return address

    def name_all(self, containers):
        """Each finds the others by their names."""
        hosts = "127.0.0.1 localhost\n" + "".join(f"{container.address} {container.name}\n" for container in containers)
        for container in containers:
            container.write("/etc/hosts", hosts, mode=0o644)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.folder], check=False)
        os.rmdir(self.folder)


class Container:
    """One service of a compose file. `command`, `user` and `environment` are the file's until somebody changes them."""

    def __init__(self, network, name, service):
        self.name, self.service = name, service
        self.command = list(service.get("command", []))
        self.user = service.get("user", "0:0")
        self.environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", **service.get("environment", {})}
        self.address = network.join(name)
        self.folder = os.path.join(network.folder, name)
        self.root, self.log = os.path.join(self.folder, "root"), os.path.join(self.folder, "log")
        self.process = None
        for part in ("upper", "work", "root", "volumes"):
            os.makedirs(os.path.join(self.folder, part))
        layers = f"lowerdir=/,upperdir={self.folder}/upper,workdir={self.folder}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], check=True)
        os.chmod(self.root, 0o755)
        subprocess.run(["mount", "-t", "proc", "proc", self.file("/proc")], check=True)
        subprocess.run(["mount", "--rbind", "/dev", self.file("/dev")], check=True)
        os.chmod(self.file("/tmp"), 0o1777)
        for volume in service.get("volumes", []):
            source, target, *options = volume.split(":")
            if source.startswith("."):
                self.mount(os.path.normpath(os.path.join(REPO, source)), target, read_only="ro" in options)
            else:
                named = os.path.join(self.folder, "volumes", source)
                os.makedirs(named)
                self.mount(named, target)

    def file(self, path):
        return self.root + path

    def mount(self, source, target, read_only=False):
        place = self.file(target)
        if os.path.isdir(source):
            os.makedirs(place, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "a", encoding="utf-8"):
                pass
        subprocess.run(["mount", "--bind", source, place], check=True)
        if read_only:
            subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)

    def write(self, path, text, mode):
        with open(self.file(path), "w", encoding="utf-8") as out:
            out.write(text)
        os.chmod(self.file(path), mode)

    def append(self, path, text):
        with open(self.file(path), "a", encoding="utf-8") as out:
            out.write(text)

    def chown(self, path, user):
        shutil.chown(self.file(path), user)

    def _argv(self, command):
        """Into the network, the root, and out of all privileges that the file takes."""
        service, user = self.service, self.user
        if user == "postgres":
            user = "{0.pw_uid}:{0.pw_gid}".format(pwd.getpwnam(user))
        uid, _, gid = user.partition(":")
        drop = ["setpriv", f"--reuid={uid}", f"--regid={gid or uid}", "--clear-groups"]
        if "no-new-privileges:true" in service.get("security_opt", []):
            drop.append("--no-new-privs")
        if service.get("cap_drop") == ["ALL"]:
            drop.append("--bounding-set=-all")
        lock = "mount -o remount,bind,ro / && " if service.get("read_only") else ""
        return [
            "ip",
            "netns",
            "exec",
            self.name,
            "chroot",
            self.root,
            "unshare",
            "--mount",
            "bash",
            "-c",
            f'{lock}cd / && exec "$@"',
            "bash",
            *drop,
            *command,
        ]

    def start(self):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                self._argv(self.command),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, command):
        done = subprocess.run(self._argv(command), env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {command}: {done.stdout}{done.stderr}")

    def try_run(self, command):
        return (
            subprocess.run(self._argv(command), env=self.environment, capture_output=True, check=False).returncode == 0
        )

    def running(self):
        return self.process is not None and self.process.poll() is None

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds):
        """The exit code; None when it still runs."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as text:
            return "\n".join(text.read().splitlines()[-TAIL_LINES:])
