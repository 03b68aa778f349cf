"""The image's health check tells a member that lives from one that doesn't."""

import socket
import subprocess
import threading
import unittest

from support import path

PATIENCE_S = 60
LOOKS = 3  # of a health check, until a container is unhealthy


def answering(answer):
    """(address, thread) of a server that takes one connection and sends this; None: it says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE_S)

    def serve():
        with listener:
            connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE_S)
            connection.recv(4096)
            connection.sendall(answer) if answer is not None else connection.recv(4096)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"127.0.0.1:{listener.getsockname()[1]}", thread


def livez(address):
    return subprocess.run([path("ops/livez"), address], capture_output=True, timeout=PATIENCE_S, check=False)


class Livez(unittest.TestCase):
    def asked(self, answer):
        address, thread = answering(answer)
        done = livez(address)
        thread.join(PATIENCE_S)
        self.assertEqual(done.stdout + done.stderr, b"")
        return done.returncode

    def test_a_member_that_answers_is_alive(self):
        # Asked again, as Docker does: a busy machine may be slower than the patience of one look.
        answers = (self.asked(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n") for _ in range(LOOKS))
        self.assertIn(0, answers)

    def test_one_that_refuses_or_is_silent_is_not(self):
        self.assertEqual(self.asked(b"HTTP/1.1 500 Internal Server Error\r\n\r\n"), 1)
        self.assertEqual(self.asked(None), 1)

    def test_one_that_is_not_there_is_not(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            free = taken.getsockname()[1]
        self.assertEqual(livez(f"127.0.0.1:{free}").returncode, 1)


if __name__ == "__main__":
    unittest.main()
