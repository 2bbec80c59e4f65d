# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Chromium without a window, told what to do by the DevTools protocol over two pipes."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
import typing as t

from support.waiting import HANG

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def program() -> str | None:
    """Where the browser is, or ``None``."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """One browser with one page."""

    def __init__(self, command: str, timeout: float = HANG) -> None:
        self.timeout = timeout
        self.events: list[dict[str, t.Any]] = []
        self._number, self._text = 0, b""
        self._folder = tempfile.mkdtemp(prefix="mobius-browser-")
        theirs_in, self._write = os.pipe()
        self._read, theirs_out = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]

        def hand_over() -> None:  # it reads commands from 3 and writes to 4
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self._process = subprocess.Popen(
            [command, *_FLAGS, f"--user-data-dir={self._folder}", "about:blank"],
            close_fds=False,
            preexec_fn=hand_over,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": self._folder},
        )
        for end in (theirs_in, theirs_out, *ends):
            os.close(end)
        self._session = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{part}.enable")

    def ask(self, method: str, **params: t.Any) -> dict[str, t.Any]:
        """Send a command; its result."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params, **({"sessionId": self._session} if self._session else {})}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda found: found.get("id") == number, method)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _until(self, wanted: t.Callable[[dict[str, t.Any]], bool], what: str) -> dict[str, t.Any]:
        deadline = time.monotonic() + self.timeout
        while True:
            while b"\0" in self._text:
                one, _end, self._text = self._text.partition(b"\0")
                message = json.loads(one)
                self.events.append(message)
                if wanted(message):
                    return message
            ready = select.select([self._read], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"{what}: no answer within {self.timeout:g} s"
            more = os.read(self._read, 1 << 20)
            assert more, f"{what}: the browser ended"
            self._text += more

    def show(self, url: str, width: int, dark: bool) -> None:
        """Load a page in a window of this width and wait until it is there."""
        self.events.clear()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.ask("Page.navigate", url=url)
        if not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self._until(lambda found: found.get("method") == "Page.loadEventFired", url)

    def tell(self, expression: str) -> t.Any:
        """What an expression gives in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """The whole page as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"])

    def requests(self) -> list[str]:
        """Every address that was asked for since the page was loaded."""
        return [event["params"]["request"]["url"] for event in self.events if event.get("method") == "Network.requestWillBeSent"]

    def complaints(self) -> list[str]:
        """What the browser wrote to its console since the page was loaded."""
        return [
            json.dumps(event["params"])
            for event in self.events
            if event.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        ]

    def close(self) -> None:
        """End it, and remove what it has written."""
        with contextlib.suppress(AssertionError, OSError):
            self._session = None
            self.ask("Browser.close")
        try:
            self._process.wait(HANG)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._read, self._write):
            os.close(pipe)
        shutil.rmtree(self._folder, ignore_errors=True)
