"""Stands in for systemd: the socket to which a service of Type=notify tells how it is."""
import contextlib
import os
import socket
import tempfile


class Supervisor:
    """`env` makes a member tell us; told() is each state so far, as "READY=1"."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="tidemark-notify-")
        path = os.path.join(self._folder.name, "socket")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(path)
        self._told = set()
        self.env = {"NOTIFY_SOCKET": path}

    def told(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self._told |= set(self._socket.recv(4096).decode().splitlines())
        return self._told

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        self._folder.cleanup()
