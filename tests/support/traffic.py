# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Traffic on an application: so many requests a second over kept-alive connections, each with its answer and its wait."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import ssl
import threading
import time
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core import addresses
from support.application import png
from support.waiting import HANG, wait_until

#: The requests that are sent all the time, and answered at once.
QUICK = ("count", "health")


@dataclasses.dataclass
class Sample:
    """One request: when it was sent (monotonic s), how long its answer took, and what was wrong with it, if anything."""

    began: float
    seconds: float
    what: str
    fault: str = ""
    release: str = ""
    #: Whether it was answered, or has failed.
    ended: bool = False


class HeldUpload:
    """An upload whose last part the test holds back."""

    def __init__(self) -> None:
        self.ends = threading.Event()

    def finish(self) -> None:
        """Send the last part."""
        self.ends.set()


class Traffic:
    """Counts up and asks for the health at a steady rate until it is told to stop; nothing is tried twice.

    :param ca: the authority to trust, for traffic over HTTPS.
    """

    def __init__(self, port: int, key: str, rate: float = 60, clients: int = 12, host: str = "127.0.0.1", ca: str = "") -> None:
        self.host, self.port, self.key, self.rate, self.clients = host, port, key, rate, clients
        self.trust = ssl.create_default_context(cafile=ca) if ca else None
        self.netloc = addresses.netloc(host, port)
        self.origin = f"{'https' if ca else 'http'}://{self.netloc}"
        self.samples: list[Sample] = []
        #: Counter values that the application has acknowledged.
        self.acknowledged: list[int] = []
        self._stop, self._abandoned = threading.Event(), False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._extra: list[t.Callable[[], t.Coroutine[t.Any, t.Any, None]]] = []
        self._held: list[HeldUpload] = []

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: t.Any) -> None:
        self._stop.set()
        for upload in self._held:
            upload.finish()
        self._thread.join(2 * HANG)
        assert not self._thread.is_alive(), "the traffic did not end"

    def flow(self, count: int = 30) -> None:
        """Wait until *count* quick requests that are sent from now on have ended, well or not."""
        first = len(self.samples)

        def ended() -> int:
            assert self._thread.is_alive(), "the traffic has ended"
            return sum(sample.what in QUICK and sample.ended for sample in self.samples[first:])

        wait_until(lambda: ended() >= count, f"{count} more requests")

    def abandon(self) -> None:
        """Do not wait for the requests that run when the traffic ends: nobody asks for their answers."""
        self._abandoned = True

    def slow(self, seconds: float) -> None:
        """Ask for an answer that takes so long."""
        self._extra.append(lambda: self._single("slow", "GET", f"/api/slow?ms={int(seconds * 1000)}", []))

    def upload(self, size: int, seconds: float) -> None:
        """Upload an image bit by bit."""
        header, parts = self._image(size)
        self._extra.append(lambda: self._single("upload", "POST", "/upload-images", parts, header, seconds / len(parts)))

    def held_upload(self, size: int = 500_000) -> HeldUpload:
        """Upload an image but for its last part, which is sent when the test says so, or when the traffic ends."""
        header, parts = self._image(size)
        self._held.append(HeldUpload())
        ends = self._held[-1].ends
        self._extra.append(lambda: self._single("upload", "POST", "/upload-images", parts, header, ends=ends))
        return self._held[-1]

    @staticmethod
    def _image(size: int) -> tuple[str, list[bytes]]:
        """A header and the parts of a form with an image."""
        image = png() + bytes(size)  # what follows the end of an image is no part of it
        edge = "edge-of-the-upload"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'.encode()
        body = head + image + f"\r\n--{edge}--\r\n".encode()
        parts = [body[at : at + len(body) // 50] for at in range(0, len(body), len(body) // 50)]
        return f"Content-Type: multipart/form-data; boundary={edge}\r\n", parts

    def running(self, what: str) -> int:
        """How many requests of a kind were sent and have not ended."""
        return sum(sample.what == what and not sample.ended for sample in self.samples)

    def failed(self) -> list[Sample]:
        """The requests that went wrong."""
        return [sample for sample in self.samples if sample.fault]

    def figures(self) -> str:
        """Count, failures, percentiles and the longest wait of the quick requests, in a line."""
        waits = sorted(sample.seconds for sample in self.samples if sample.what in QUICK)
        at = lambda share: waits[min(len(waits) - 1, int(share * len(waits)))] * 1000  # noqa: E731
        return (
            f"{len(self.samples)} requests, {len(self.failed())} failed, p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, "
            f"longest {waits[-1]:.2f} s"
        )

    async def _run(self) -> None:
        due, tasks = time.monotonic(), []
        queue: asyncio.Queue[float | None] = asyncio.Queue()
        workers = [asyncio.create_task(self._worker(queue)) for _number in range(self.clients)]
        while not self._stop.is_set():
            while self._extra:
                tasks.append(asyncio.create_task(self._extra.pop(0)()))
            if queue.qsize() < 2 * self.clients:  # what waits for a connection is no load, and must not become a burst
                queue.put_nowait(due)
            due += 1 / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        for _worker in workers:
            queue.put_nowait(None)
        if self._abandoned:
            for task in (*workers, *tasks):
                task.cancel()
        await asyncio.gather(*workers, *tasks, return_exceptions=self._abandoned)

    async def _worker(self, queue: asyncio.Queue[float | None]) -> None:
        connection = None
        for number in range(10**9):
            if await queue.get() is None or self._stop.is_set():
                break
            what = "count" if number % 2 else "health"
            method, path = ("POST", "/api/counter") if number % 2 else ("GET", "/health")
            connection = await self._ask(connection, what, method, path)
        if connection:
            connection[1].close()

    async def _single(
        self, what: str, method: str, path: str, parts: list[bytes], header: str = "", pause: float = 0, ends: threading.Event | None = None
    ) -> None:
        connection = await self._ask(None, what, method, path, parts, header, pause, ends)
        if connection:
            connection[1].close()

    async def _ask(
        self,
        connection: t.Any,
        what: str,
        method: str,
        path: str,
        parts: t.Sequence[bytes] = (),
        header: str = "",
        pause: float = 0,
        ends: threading.Event | None = None,
    ) -> t.Any:
        sample = Sample(time.monotonic(), 0, what)
        self.samples.append(sample)
        try:
            connection = connection or await asyncio.open_connection(self.host, self.port, ssl=self.trust)
            reader, writer = connection
            length = sum(map(len, parts))
            writer.write(
                f"{method} {path} HTTP/1.1\r\nHost: {self.netloc}\r\nOrigin: {self.origin}\r\n"
                f"X-Mobius-API-Key: {self.key}\r\n{header}Content-Length: {length}\r\n\r\n".encode()
            )
            for number, part in enumerate(parts, 1):
                while ends and number == len(parts) and not ends.is_set():
                    await asyncio.sleep(0.02)
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            status, headers, body = await asyncio.wait_for(self._answer(reader), HANG)
            if status not in (200, 201):
                sample.fault = f"status {status}: {body[:100]!r}"
            elif what in QUICK:
                told = json.loads(body)
                sample.release = told.get("release", "")
                if what == "count":
                    self.acknowledged.append(told["value"])
            if headers.get("connection", "").lower() == "close":
                writer.close()
                connection = None
        except Exception as error:
            sample.fault = f"{type(error).__name__}: {error}"
            if connection:
                with contextlib.suppress(Exception):
                    connection[1].close()
            connection = None
        sample.seconds = time.monotonic() - sample.began
        sample.ended = True
        return connection

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _colon, value in (line.partition(":") for line in head[1:] if line)}
        return int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", "0")))


def check_none_lost(traffic: Traffic) -> None:
    """Show the figures; no request failed."""
    print(f"\n{traffic.figures()}")
    lost = traffic.failed()
    assert not lost, f"{len(lost)} requests failed: {lost[:5]}"
