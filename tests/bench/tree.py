"""The folders that are backed up: laid out as on a real host, the same for the same seed, and 1 % of it changed on demand.

60 % media that does not compress, 20 % logs, 20 % small files and a SQLite database.

Usage: tree.py make ROOT PLAN MEGABYTES FILES SEED | tree.py change ROOT PLAN SEED
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import random
import sqlite3
import sys
import typing as t

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc).timestamp()
#: Share of the bytes, and of the files, of each kind.
MEDIA, LOGS = (0.6, 0.07), (0.2, 0.012)
CHANGED = 0.01
LEVELS = ("INFO ",) * 14 + ("DEBUG",) * 4 + ("WARN ", "ERROR")
PATHS = (
    "GET /health 200",
    "GET / 200",
    "GET /static/js/main.8f3a.js 304",
    "POST /upload-images 201",
    "POST /upload-pdf 201",
    "POST /api/render 202",
    "GET /api/render/{} 200",
    "GET /uploads/images/{}.jpg 200",
    "PUT /api/projects/{} 200",
)
MESSAGES = (
    "frame= {} fps=29.97 q=23.0 size= {}kB bitrate=2816.1kbits/s speed=1.8x",
    "rendered segment {} of {}",
    "cache miss for asset {} after {} ms",
    "slow query on projects ({} rows, {} ms)",
)
Lines = t.Callable[[random.Random], str]


def words(rng: random.Random) -> list[str]:
    """A vocabulary: text of it compresses like prose, not like one phrase again and again."""
    parts = ("bo", "card", "dice", "er", "ga", "in", "king", "la", "me", "no", "ple", "round", "score", "ta", "tile", "turn", "ver", "y")
    return ["".join(rng.choice(parts) for _part in range(rng.randint(1, 4))) for _word in range(4000)]


WORDS = words(random.Random(7))


def stamp(seconds: float) -> str:
    """A time as logs write it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def name(rng: random.Random, digits: int = 24) -> str:
    """A random file name as uploads get it."""
    return f"{rng.getrandbits(digits * 4):0{digits}x}"


def prose(rng: random.Random) -> str:
    """A line of text."""
    return " ".join(rng.choices(WORDS, k=rng.randint(6, 14))).capitalize() + ".\n"


def log_lines(rng: random.Random, size: int) -> bytes:
    """So many bytes of an API's log."""
    lines, length, now = [], 0, START + rng.random() * 1e7
    while length < size:
        now += rng.expovariate(3.0)
        if rng.random() < 0.8:
            what = rng.choice(PATHS).format(name(rng, 12))
            what += f" {rng.expovariate(0.02):.1f}ms ip=10.0.{rng.randrange(4)}.{rng.randrange(256)}"
        else:
            what = rng.choice(MESSAGES).format(rng.randrange(9000), rng.randrange(90000))
        line = f"{stamp(now)} {rng.choice(LEVELS)} [api:{rng.randrange(1, 5)}] {what} req={rng.getrandbits(32):08x}\n"
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()


def json_text(rng: random.Random, size: int) -> bytes:
    """A project as the editor saves it."""
    items, length = [], 0
    while length < size - 60:
        item = {
            "id": name(rng, 16),
            "start": round(rng.random() * 900, 3),
            "duration": round(rng.random() * 12, 3),
            "text": prose(rng).strip(),
            "asset": f"uploads/images/{name(rng)}.jpg",
            "x": rng.randrange(1920),
            "y": rng.randrange(1080),
        }
        items.append("  " + json.dumps(item))
        length += len(items[-1]) + 2
    return ('{"schema": 3, "items": [\n' + ",\n".join(items) + "\n]}\n").encode()


def code_line(rng: random.Random) -> str:
    """A line of a script."""
    first, second, third = rng.choices(WORDS, k=3)
    values = f"id: '{third}', at: {rng.randrange(99999)}, deep: {rng.random():.4f}"
    return f"  const {first}{rng.randrange(99)} = await this.{second}({{ {values} }});\n"


def subtitle(rng: random.Random) -> str:
    """An entry of a subtitle file."""
    begin = rng.randrange(3_000_000)
    clock = [f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}" for ms in (begin, begin + 2500)]
    return f"{rng.randrange(2000)}\n{clock[0]} --> {clock[1]}\n{prose(rng)}\n"


def lines(make: Lines) -> t.Callable[[random.Random, int], bytes]:
    """A generator of text files from a generator of lines."""

    def text(rng: random.Random, size: int) -> bytes:
        found, length = [], 0
        while length < size:
            found.append(make(rng))
            length += len(found[-1])
        return "".join(found).encode()[:size]

    return text


SMALL: dict[str, t.Callable[[random.Random, int], bytes]] = {
    "json": json_text,
    "md": lines(prose),
    "txt": lines(prose),
    "js": lines(code_line),
    "srt": lines(subtitle),
}


def content(kind: str, rng: random.Random, size: int) -> bytes:
    """The content of a file of a kind."""
    if kind == "media":
        return rng.randbytes(size)
    return log_lines(rng, size) if kind == "log" else SMALL[kind](rng, size)


def write(path: str, data: bytes, mtime: float) -> None:
    """Put a file in place as applications do: under another name first."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "wb") as stream:
        stream.write(data)
    os.utime(path + ".new", ns=(int(mtime * 1e9),) * 2)
    os.rename(path + ".new", path)


def split(rng: random.Random, total: float, count: int, spread: float) -> list[int]:
    """Sizes that add up to *total*: many small ones, some large."""
    weights = [min(rng.lognormvariate(0, spread), 30.0) for _file in range(count)]
    return [max(64, int(total * weight / sum(weights))) for weight in weights]


def plan(megabytes: float, files: int, rng: random.Random) -> list[dict[str, t.Any]]:
    """Path, kind and size of each file but for the database and the settings."""
    found: list[dict[str, t.Any]] = []
    total = megabytes * 1e6
    for size in split(rng, total * MEDIA[0], max(4, round(files * MEDIA[1])), 1.3):
        path = rng.choice(
            (
                "uploads/images/{}.jpg",
                "uploads/images/{}.png",
                "uploads/videos/{}.mp4",
                "uploads/{}",
                "out/{}/render.mp4",
                "out/{}/frames.bin",
            )
        )
        found.append({"path": path.format(name(rng)), "kind": "media", "size": size})
    for number, size in enumerate(split(rng, total * LOGS[0], max(2, round(files * LOGS[1])), 0.7)):
        service = ("api", "render", "access")[number % 3]
        found.append({"path": f"logs/{service}.log" + (f".{number // 3}" if number > 2 else ""), "kind": "log", "size": size})
    count = max(8, files - len(found))
    projects = [name(rng, 12) for _project in range(max(2, count // 12))]
    for size in split(rng, total * (1 - MEDIA[0] - LOGS[0]) * 0.96, count, 1.4):
        kind = rng.choice(list(SMALL))
        place = rng.choice(("out/{}/{}", "uploads/projects/{}/{}"))
        found.append({"path": f"{place.format(rng.choice(projects), name(rng, 10))}.{kind}", "kind": kind, "size": size})
    return found


def database(path: str, rng: random.Random, size: int) -> None:
    """A database as MOBIUS keeps it, in WAL mode and at rest."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("CREATE TABLE projects (id TEXT PRIMARY KEY, title TEXT, body TEXT, changed REAL)")
        connection.execute("CREATE INDEX by_title ON projects (title)")
        rows = [(name(rng, 16), prose(rng).strip(), prose(rng) * 3, START + rng.random() * 1e7) for _row in range(max(4, size // 420))]
        connection.executemany("INSERT INTO projects VALUES (?, ?, ?, ?)", rows)
        connection.commit()


def make(root: str, megabytes: float, files: int, seed: int) -> list[dict[str, t.Any]]:
    """Write the whole tree; its plan."""
    rng = random.Random(seed)
    for folder in ("config", "data", "uploads", "out", "logs"):
        os.makedirs(os.path.join(root, folder))
    found = plan(megabytes, files, rng)
    for entry in found:
        write(os.path.join(root, entry["path"]), content(entry["kind"], rng, entry["size"]), START + rng.random() * 1e7)
    write(os.path.join(root, "config", ".env"), b"NODE_ENV=production\nMOBIUS_API_KEYS=only-for-the-benchmark\n", START)
    os.chmod(os.path.join(root, "config", ".env"), 0o600)
    database(os.path.join(root, "data", "mobius.db"), rng, int(megabytes * 1e6 * 0.008))
    os.symlink(found[0]["path"].partition("/")[2], os.path.join(root, found[0]["path"].partition("/")[0], "latest"))
    return found


def change(root: str, found: list[dict[str, t.Any]], seed: int) -> dict[str, int]:
    """Change 1 % of the files of each kind: uploads and projects are replaced, logs grow, rows of the database differ."""
    rng, files, size = random.Random(seed), 0, 0
    now = START + 2e7 + seed
    for kinds in (("media",), ("log",), tuple(SMALL)):
        group = [entry for entry in found if entry["kind"] in kinds]
        ordinary = [entry for entry in group if entry["size"] * len(group) <= 3 * sum(other["size"] for other in group)]
        for entry in rng.sample(ordinary, max(1, round(len(group) * CHANGED))):
            path = os.path.join(root, entry["path"])
            if entry["kind"] == "log":
                with open(path, "ab") as stream:
                    stream.write(log_lines(rng, max(200, entry["size"] // 100)))
            else:
                write(path, content(entry["kind"], rng, entry["size"]), now)
            files, size = files + 1, size + os.path.getsize(path)
    path = os.path.join(root, "data", "mobius.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE projects SET body = ?, changed = ? WHERE rowid % 97 = ?", (prose(rng) * 3, now, seed % 97))
        connection.commit()
    return {"files": files + 1, "bytes": size + os.path.getsize(path)}


def main() -> None:
    """Do what the command line says; what was made or changed goes to stdout."""
    action, root, plan_file = sys.argv[1:4]
    if action == "make":
        found = make(root, float(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]))
        with open(plan_file, "w", encoding="utf-8") as stream:
            json.dump(found, stream)
    else:
        with open(plan_file, encoding="utf-8") as stream:
            found = json.load(stream)
        print(json.dumps(change(root, found, int(sys.argv[4]))))


if __name__ == "__main__":
    main()
