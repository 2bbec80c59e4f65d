# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make bench-health`: a hundred endpoints, half of them slow, by the module health_check and by a loop of curl. Interleaved; medians."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SLOW = 0.2
#: The loop's time by ours; the least that is wanted.
TARGET = 15
LOOP = 'for url in "$@"; do curl -s -o /dev/null --max-time 5 -w "%{http_code}\\n" "$url"; done'
MODULE = "ansible_collections.mobius.ops.plugins.modules.health_check"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Each second endpoint is slow, each seventh wrong."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            number = int(head.split()[1].strip(b"/"))
            if number % 2:
                await asyncio.sleep(SLOW)
            status = b"503 Busy" if number % 7 == 0 else b"200 OK"
            writer.write(b'HTTP/1.1 %s\r\nContent-Length: 15\r\n\r\n{"status":"ok"}' % status)
            await writer.drain()


async def serve() -> None:
    """Serve until the end of the process; the first line of the output is the port."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def serving() -> t.Iterator[str]:
    """The server in a process of its own; its address."""
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def by_curl(urls: list[str]) -> tuple[float, list[bool]]:
    """Seconds of the loop, and which endpoints were well."""
    began = time.monotonic()
    done = subprocess.run(["bash", "-c", LOOP, "loop", *urls], capture_output=True, text=True, check=True)
    return time.monotonic() - began, [line == "200" for line in done.stdout.split()]


def by_module(urls: list[str]) -> tuple[float, list[bool]]:
    """Seconds of the module in a fresh process, Python's start and its imports included, and which endpoints were well."""
    arguments = {"checks": [{"name": url, "url": url} for url in urls], "fail_on": "never"}
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".build" / "collections")}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.monotonic() - began
    return seconds, [sample["outcome"] == "ok" for sample in json.loads(done.stdout)["results"]]


def by_probes(urls: list[str]) -> tuple[float, list[bool]]:
    """The same without the start of a process."""
    from ansible_collections.mobius.ops.plugins.module_utils._observe import health

    checks = health.normalize_all([{"url": url} for url in urls])
    began = time.monotonic()
    samples = health.sample_all(checks)
    return time.monotonic() - began, [sample["outcome"] == "ok" for sample in samples]


LANES: dict[str, t.Callable[[list[str]], tuple[float, list[bool]]]] = {
    "a loop of curl": by_curl,
    "health_check, a whole process": by_module,
    "the probes of health_check": by_probes,
}


def table(seconds: dict[str, list[float]]) -> list[str]:
    """A line a lane: median, least and most, and how many times as fast as the loop."""
    loop = statistics.median(seconds["a loop of curl"])
    lines = [f"  {'':<32}{'median':>9}{'least':>9}{'most':>9}{'ratio':>9}"]
    for lane, found in seconds.items():
        median = statistics.median(found)
        lines.append(f"  {lane:<32}{median:>7.2f} s{min(found):>7.2f} s{max(found):>7.2f} s{loop / median:>7.1f} x")
    return lines


def main() -> int:
    """Measure; the exit status is 0 when verdicts are the same and the target is met."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--endpoints", type=int, default=100)
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        asyncio.run(serve())
    if not shutil.which("curl"):
        print("bench-health: curl is missing: apt-get install curl", file=sys.stderr)
        return 2
    sys.path.insert(0, str(ROOT / ".build" / "collections"))
    seconds: dict[str, list[float]] = {lane: [] for lane in LANES}
    with serving() as base:
        urls = [f"{base}/{number}" for number in range(1, given.endpoints + 1)]
        expected = [number % 7 != 0 for number in range(1, given.endpoints + 1)]
        for _round in range(given.rounds):
            for lane, measure in LANES.items():
                took, verdicts = measure(urls)
                seconds[lane].append(took)
                if verdicts != expected:
                    print(f"bench-health: {lane} has other verdicts than expected", file=sys.stderr)
                    return 1
    print(f"{given.endpoints} endpoints, each second one answers after {SLOW * 1000:.0f} ms; {given.rounds} rounds; verdicts are the same")
    print("\n".join(table(seconds)))
    ratio = statistics.median(seconds["a loop of curl"]) / statistics.median(seconds["health_check, a whole process"])
    print(f"  wanted of a whole process: {TARGET} x; {'met' if ratio >= TARGET else 'NOT met'}")
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
