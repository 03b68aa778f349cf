"""Stands in for systemd: the socket to which a service of Type=notify tells how it is."""
import os
import socket
import tempfile
import threading


class Supervisor:
    """`env` makes a member tell us; told() is each state so far, as "READY=1"."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="tidemark-notify-")
        path = os.path.join(self._folder.name, "socket")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._told = set()
        self.env = {"NOTIFY_SOCKET": path}
        # All the time: the kernel keeps ten messages, and then the member waits for us.
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            text = self._socket.recv(4096)
            if not text:
                return
            self._told |= set(text.decode().splitlines())

    def told(self):
        return set(self._told)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self.env["NOTIFY_SOCKET"])
        self._thread.join()
        self._socket.close()
        self._folder.cleanup()
