"""Chromium without a window, spoken to over a pipe (the DevTools protocol): opens a page, reads it, photographs it."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from ops.stack import StackError

ANSWER_S_MAX = 90
POLL_S = 0.1
FLAGS = ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--remote-debugging-pipe")


class Browser:
    """One page at a time. A context manager: the browser ends with it, with its profile."""

    def __enter__(self):
        self._profile = tempfile.mkdtemp(prefix="tidemark-browser-")
        read, self._out = os.pipe()
        self._in, write = os.pipe()
        # Chromium reads from 3 and writes to 4.
        command = ["bash", "-c", f'exec "$@" 3<&{read} 4>&{write}', "bash", "chromium", *FLAGS,
                   f"--user-data-dir={self._profile}", *(["--no-sandbox"] if os.geteuid() == 0 else []), "about:blank"]
        self._process = subprocess.Popen(command, pass_fds=(read, write), stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(read)
        os.close(write)
        self._rest, self._number, self._session = b"", 0, None
        self.errors = []  # what the page's console said of errors
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        os.close(self._out)  # it ends when nobody speaks to it any more
        try:
            self._process.wait(ANSWER_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url):
        self._call("Page.navigate", url=url)

    def ask(self, expression):
        """The value of a JavaScript expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise StackError(f"{expression}: {answer['exceptionDetails'].get('text')} {answer['result'].get('description')}")
        return answer["result"].get("value")

    def text(self, selector):
        """What is written there, in one line; empty when it isn't there or isn't shown."""
        return " ".join((self.ask(f"document.querySelector({json.dumps(selector)})?.innerText") or "").split())

    def wait(self, what, good, timeout_s=ANSWER_S_MAX):
        """Until good() says so; what it gave."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = good()
            if found:
                return found
            if time.monotonic() > deadline:
                raise StackError(f"the page doesn't show {what} within {timeout_s} s, but: {self.text('body')[:2000]}")
            time.sleep(POLL_S)

    def photograph(self, path, *, width=1280, height=900, dark=False, phone=False):
        """The whole page as a PNG."""
        self.look(width=width, height=height, dark=dark, phone=phone)
        image = self._call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        with open(path, "wb") as out:
            out.write(base64.b64decode(image))

    def look(self, *, width=1280, height=900, dark=False, phone=False):
        """A screen of that size, and what its owner prefers."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                   deviceScaleFactor=2 if phone else 1, mobile=phone)
        self._call("Emulation.setEmulatedMedia",
                   features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def press(self, key, code):
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def tree(self):
        """What a screen reader gets: (role, name) of each node."""
        nodes = self._call("Accessibility.getFullAXTree")["nodes"]
        return [(node.get("role", {}).get("value"), node.get("name", {}).get("value", "")) for node in nodes
                if not node.get("ignored")]

    def _call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        try:
            os.write(self._out, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise StackError("chromium ended; is it installed (ops/setup --test)?") from None
        while True:
            said = self._next()
            if said.get("method") == "Runtime.exceptionThrown":
                self.errors.append(said["params"]["exceptionDetails"].get("text"))
            if said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.errors.append(said["params"]["entry"]["text"])
            if said.get("id") != self._number:
                continue
            if "error" in said:
                raise StackError(f"{method}: {said['error']['message']}")
            return said["result"]

    def _next(self):
        deadline = time.monotonic() + ANSWER_S_MAX
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0, deadline - time.monotonic()))[0]:
                raise StackError(f"chromium says nothing for {ANSWER_S_MAX} s")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise StackError("chromium ended; is it installed (ops/setup --test)?")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
