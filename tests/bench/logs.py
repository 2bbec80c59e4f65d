# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make bench-logs`: the report of logs beside the runbook's three greps and GoAccess, interleaved, with the memory that each takes.

Three logs of a size each are made: nginx's combined form with times, pino's JSON lines, and an application's text. Every lane reads each of
them by itself. What the report counts is compared with what awk counts in another way. The last lane adds one percent and reads that.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import typing as t
from pathlib import Path

from measure import prefer

ROOT = Path(__file__).resolve().parents[2]
#: Reads a log as the report does, and imports nothing but that.
LANE = Path(__file__).with_name("read_log.py")
BEGIN = datetime.datetime(2026, 11, 20, tzinfo=datetime.timezone.utc)
UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}
KINDS = ("nginx", "pino", "app")
#: grep stops at its first match when its output is /dev/null, so it goes through cat.
GREPS = 'grep -i error "$1" | cat >/dev/null; grep "response.*time" "$1" | cat >/dev/null; grep "POST\\|PUT\\|DELETE" "$1" | cat >/dev/null'
GOACCESS = ["goaccess", "--log-format=COMBINED", "--no-progress", "-o", "/dev/null.json"]
#: Lane -> most times of the greps, by the issue.
LANES = {
    "sampled, 1 process": ("sampled", 1, 2.0),
    "sampled, 2 processes": ("sampled", 2, 1.3),
    "exact, 1 process": ("exact", 1, 5.0),
    "exact, 2 processes": ("exact", 2, 3.0),
}
#: A lane without a target, for the application's log: the searches of a report alone.
SEARCHES = "its searches alone"
AGAIN, MEMORY = 0.1, 64.0
PATHS = (
    "/",
    "/health",
    "/api/projects/%d",
    "/api/projects/%d/images",
    "/api/render/%d/status",
    "/static/js/main.js",
    "/uploads/x%d.png",
    "/upload-images",
    "/errors/%d",
    "/load-project/%d",
)
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
    "curl/8.5.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15",
)
AWK = {
    "nginx": r"""{ n++; s = $9; if (s >= 500) f++; else if (s >= 400) r++; m = substr($6, 2)
                 if (m == "POST" || m == "PUT" || m == "PATCH" || m == "DELETE") w++ } END { print n + 0, f + 0, r + 0, w + 0, 0 }""",
    "pino": r"""{ n++; s = 0; if (match($0, /"statusCode":[0-9]+/)) s = substr($0, RSTART + 13, RLENGTH - 13) + 0
                if (s >= 500) f++; else if (s >= 400) r++; if (s && match($0, /"method":"(POST|PUT|PATCH|DELETE)"/)) w++
                if (index($0, "{\"level\":50") == 1) e++ } END { print n + 0, f + 0, r + 0, w + 0, e + 0 }""",
    "app": r"""{ n++; if ($2 == "ERROR") e++
               if ($2 ~ /^(GET|POST|PUT|PATCH|DELETE)$/) { if ($4 >= 500) f++; else if ($4 >= 400) r++; if ($2 != "GET") w++ } }
               END { print n + 0, f + 0, r + 0, w + 0, e + 0 }""",
}


def request(chance: random.Random) -> tuple[str, str, int, float]:
    """Method, path, status and milliseconds."""
    path = chance.choice(PATHS)
    method = chance.choices(("GET", "POST", "PUT", "DELETE"), (88, 8, 2, 2))[0]
    status = chance.choices((200, 304, 404, 401, 500, 502), (900, 60, 20, 5, 10, 5))[0]
    return method, path % chance.randrange(2000) if "%" in path else path, status, chance.expovariate(1 / 40)


def nginx(at: datetime.datetime, chance: random.Random) -> str:
    """A line of nginx."""
    method, path, status, ms = request(chance)
    return (
        f"10.{chance.randrange(4)}.{chance.randrange(9)}.{chance.randrange(250)} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "
        f'"{method} {path} HTTP/1.1" {status} {chance.randrange(90000)} '
        f'"https://mobius.example/app" "{chance.choice(AGENTS)}" rt={ms / 1000:.3f}\n'
    )


def pino(at: datetime.datetime, chance: random.Random) -> str:
    """A line of pino: a request, or an error."""
    stamp = int(at.timestamp() * 1000)
    if chance.random() < 0.01:
        return (
            f'{{"level":50,"time":{stamp},"pid":7,"hostname":"web1","err":{{"type":"Error","message":"ENOENT: '
            f"no such file, open '/opt/mobius/data/{chance.randrange(999)}/x.json'\","
            f'"stack":"Error: ENOENT\\n    at x (/y.js:1:2)"}},"msg":"render failed"}}\n'
        )
    method, path, status, ms = request(chance)
    return (
        f'{{"level":30,"time":{stamp},"pid":7,"hostname":"web1","req":{{"id":{chance.randrange(10**6)},"method":"{method}",'
        f'"url":"{path}","query":{{}},"params":{{}},"headers":{{"host":"mobius.example","user-agent":"{AGENTS[0]}"}},"remoteAddress":"10.0.0.'
        f'{chance.randrange(250)}","remotePort":{chance.randrange(65000)}}},"res":{{"statusCode":{status},"headers":{{}}}},'
        f'"responseTime":{ms:.0f},"msg":"request completed"}}\n'
    )


def app(at: datetime.datetime, chance: random.Random) -> str:
    """A line of an application."""
    stamp, dice = f"{at:%Y-%m-%dT%H:%M:%S}.{chance.randrange(1000):03}Z", chance.random()
    if dice < 0.02:
        return (
            f"{stamp} ERROR render {chance.randrange(16**6):06x} failed: "
            f"ffmpeg ended with {chance.randrange(9)} after {chance.randrange(900)} s\n"
        )
    if dice < 0.2:
        method, path, status, ms = request(chance)
        return f"{stamp} {method} {path} {status} {ms:.1f}ms\n"
    return (
        f"{stamp} INFO stored image {chance.randrange(16**8):08x} of project {chance.randrange(999)}: "
        f"data/{chance.randrange(999)}/images/a.png\n"
    )


def make(kind: str, path: str, size: int) -> None:
    """A log of a size, with ten lines a second. A hundred thousand lines are made; later ones are these three hours later each time."""
    line = {"nginx": nginx, "pino": pino, "app": app}[kind]
    chance, written, copies = random.Random(kind), 0, 0
    block = [line(BEGIN + datetime.timedelta(seconds=number * 0.1), chance) for number in range(100_000)]
    text = "".join(block)
    with open(path, "w", encoding="ascii") as stream:
        while written < size:
            moved = moved_by(text, kind, 3 * copies)
            if written + len(moved) > size:
                moved = moved[: moved.rfind("\n", 0, size - written) + 1]
                stream.write(moved)
                break
            stream.write(moved)
            written, copies = written + len(moved), copies + 1


def moved_by(text: str, kind: str, hours: int) -> str:
    """The same lines some hours later; they are of the first three hours of a day."""
    if not hours:
        return text
    if kind == "pino":
        return re.sub(r'(?<="time":)\d+', lambda found: str(int(found[0]) + hours * 3600000), text)
    form = "%d/%b/%Y:%H:" if kind == "nginx" else "%Y-%m-%dT%H:"
    for hour in range(3):
        at = BEGIN + datetime.timedelta(hours=hour)
        text = text.replace(at.strftime(form), (at + datetime.timedelta(hours=hours)).strftime(form))
    return text


class Took(t.NamedTuple):
    """Seconds of a command, and of processors, which others on the machine make longer by less."""

    wall: float
    cpu: float

    def by(self, other: Took) -> Took:
        """How many times those of another one, each; not a number where the kernel counted no tick of it."""
        return Took(*(mine / theirs if theirs else math.nan for mine, theirs in zip(self, other)))


def timed(argv: list[str]) -> tuple[Took, str]:
    """How long a command took, and what it printed."""
    before, began = os.times(), time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    wall, after = time.monotonic() - began, os.times()
    return Took(wall, after.children_user + after.children_system - before.children_user - before.children_system), done.stdout


def ours(root: str, path: str, lane: str) -> tuple[Took, dict[str, t.Any]]:
    """Seconds of one of our lanes, and what it counted."""
    detail, processes, _most = LANES[lane]
    seconds, output = timed([sys.executable, str(LANE), root, path, detail, str(processes)])
    return seconds, json.loads(output)


def fresh(folder: str) -> str:
    """A host of which no log was read."""
    root = tempfile.mkdtemp(dir=folder)
    for name in ("state", "shared/config"):
        os.makedirs(os.path.join(root, name))
    return root


def measure(kind: str, path: str, folder: str, rounds: int) -> tuple[dict[str, list[Took]], float, list[str]]:
    """Seconds by lane, megabytes at most, and what is wrong."""
    seconds: dict[str, list[Took]] = {}
    expected = [int(word) for word in timed(["awk", AWK[kind], path])[1].split()]
    memory, wrong = 0.0, []
    for _round in range(rounds):
        seconds.setdefault("greps", []).append(timed(["sh", "-c", GREPS, "greps", path])[0])
        if kind == "nginx" and shutil.which("goaccess"):
            seconds.setdefault("GoAccess", []).append(timed([*GOACCESS[:-1], os.path.join(folder, "out.json"), path])[0])
        if kind == "app":
            seconds.setdefault(SEARCHES, []).append(timed([sys.executable, str(LANE), folder, path, "searches", "1"])[0])
        for lane in LANES:
            root = fresh(folder)
            took, found = ours(root, path, lane)
            seconds.setdefault(lane, []).append(took)
            memory = max(memory, found["memory"])
            if found["counts"] != expected:
                wrong.append(f"{kind}, {lane}: counted {found['counts']}, awk {expected}")
    took, found, more = again(kind, path, root)
    seconds["1 % more"] = [took]
    if found["counts"] != [mine + theirs for mine, theirs in zip(expected, more)]:
        wrong.append(f"{kind}, 1 % more: counted {found['counts']}, awk {expected} and {more}")
    return seconds, max(memory, found["memory"]), wrong


def again(kind: str, path: str, root: str) -> tuple[Took, dict[str, t.Any], list[int]]:
    """Add one percent to a log that was read; seconds to read that, all counts, and what awk counts of it."""
    with open(path, "rb") as stream:
        stream.seek(-os.path.getsize(path) // 100, os.SEEK_END)
        more = stream.read().partition(b"\n")[2]
    with open(path, "ab") as stream:
        stream.write(more)
    took, found = ours(root, path, "exact, 1 process")
    done = subprocess.run(["awk", AWK[kind]], input=more, capture_output=True, check=True)
    return took, found, [int(word) for word in done.stdout.split()]


def median(found: list[Took]) -> Took:
    """The middle of each."""
    return Took(statistics.median(took.wall for took in found), statistics.median(took.cpu for took in found))


def table(kind: str, size: int, seconds: dict[str, list[Took]], memory: float) -> tuple[list[str], list[str]]:
    """A line a lane, and which targets are missed."""
    greps, missed = median(seconds["greps"]), []
    names = ("median", "least", "most", "by greps", "CPU", "by greps", "wanted")
    lines = [f"{kind}, {size / 10**6:.0f} MB".ljust(26) + "".join(name.rjust(11 if name == "by greps" else 9) for name in names)]
    for lane, found in seconds.items():
        middle = median(found)
        (wall, cpu), walls = middle.by(greps), [took.wall for took in found]
        most = AGAIN if lane == "1 % more" else LANES[lane][2] if lane in LANES else 0
        lines.append(
            f"  {lane:<24}{middle.wall:>7.2f} s{min(walls):>7.2f} s{max(walls):>7.2f} s{wall:>9.2f} x{middle.cpu:>7.2f} s"
            f"{cpu:>9.2f} x" + (f"{most:>7g} x" if most else "")
        )
        if most and wall > most:
            missed.append(f"{kind}, {lane}: {wall:.2f} x, wanted {most:g} x")
    lines.append(f"  memory at most {memory:.0f} MB a process, wanted {MEMORY:.0f} MB")
    return lines, missed + ([f"{kind}: {memory:.0f} MB"] if memory > MEMORY else [])


def page(kind: str, seconds: dict[str, list[Took]], memory: float) -> list[str]:
    """Rows of the page's table."""
    greps, lines = median(seconds["greps"]), []
    for lane, found in seconds.items():
        middle, most = median(found), AGAIN if lane == "1 % more" else LANES[lane][2] if lane in LANES else None
        wall, cpu = middle.by(greps)
        figures = (middle.wall, wall, middle.cpu, cpu)
        lines.append(f"| {kind} | {lane} | {' | '.join(f'{figure:.2f}' for figure in figures)} | {'' if most is None else f'{most:g}'} |")
    return [*lines, f"| {kind} | memory of a process | | | | {memory:.0f} MB | {MEMORY:.0f} MB |"]


def write(size: str, rows: list[str], missed: list[str]) -> None:
    """Write docs/logs-benchmark.md."""
    day = datetime.datetime.now(datetime.timezone.utc).date()
    text = [
        "# How fast logs are read",
        "",
        f"Written by `make bench-logs ARGS=--write`, {day}: {size} of each log, {os.cpu_count()} processors, "
        f"load {os.getloadavg()[1]:.0f} at the end.",
        "",
        "Each lane reads the same log, one after the other in each round: the runbook's three greps, GoAccess, and the report.",
        "*By greps* is how many times the seconds of the greps a lane takes. On a machine that has other work, seconds of processors tell",
        "more than seconds do.",
        "*1 % more* is a second run, when the log has grown by so much. All counts are those of awk.",
        "*Its searches alone* are what no report of a text in Python can do without: blocks are read and searched for line ends,",
        "requests and the words of errors, and nothing is counted. What is faster has to be compiled code, which no target has to have.",
        "",
        "| log | lane | seconds | by greps | CPU seconds | by greps | wanted |",
        "|---|---|---:|---:|---:|---:|---:|",
        *rows,
        "",
    ]
    text += ["Missed, by seconds:", "", *(f"- {one}" for one in missed)] if missed else ["All targets are met."]
    (ROOT / "docs" / "logs-benchmark.md").write_text("\n".join(text) + "\n", encoding="utf-8")


def main() -> int:
    """Measure; the exit status is 0 when counts are right and targets are met."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", default="1G", help="of each log, such as 100M")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", choices=KINDS, action="append")
    options.add_argument("--folder", help="where the logs are made; 1.1 times the size is needed there")
    options.add_argument("--nice", type=int, default=0, help="priority (autogroup), on a machine that has other work too")
    options.add_argument("--write", action="store_true", help="write docs/logs-benchmark.md")
    given = options.parse_args()
    size = int(float(given.size.rstrip("KMG")) * UNITS.get(given.size[-1], 1))
    prefer(os.getpid(), given.nice)
    missed, rows = [], []
    for kind in given.only or KINDS:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            path = os.path.join(folder, f"{kind}.log")
            make(kind, path, size)
            seconds, memory, wrong = measure(kind, path, folder, given.rounds)
            lines, late = table(kind, size, seconds, memory)
            print("\n".join(lines), flush=True)
            missed += wrong + late
            rows += page(kind, seconds, memory)
    if given.write:
        write(given.size, rows, missed)
    print("all counts are awk's, and all targets are met" if not missed else "NOT met:\n  " + "\n  ".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
