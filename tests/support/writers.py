# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Programs that change files while they are backed up: ``python -m support.writers KIND FOLDER REST`` until killed.

What they write shows which state it is, so that a reader can tell one state of a file from a mixture of two.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
import typing as t

#: Bytes of a record, and records of a block.
RECORD, BLOCK = 16, 256


def record(number: int) -> bytes:
    """One record."""
    return b"%015d\n" % number


def size_of(number: int) -> int:
    """How many records the state *number* of a file has that is rewritten."""
    return 5000 + number * 7919 % 60_000


class Writer:
    """One kind of writer; ``sound`` tells whether some content is a state that its file really had."""

    #: The names of its files in an archive.
    files: tuple[str, ...] = ()
    #: Seconds between two steps in any case, so that a file that grows does not fill the disk.
    pause = 0.0

    def __init__(self, shared: str) -> None:
        self.paths = [os.path.join(shared, name.replace("database/", "data/")) for name in self.files]
        self.path = self.paths[0]
        self.aside = os.path.join(os.path.dirname(shared), "aside of " + type(self).__name__)

    def prepare(self) -> None:
        """The first state."""
        self.step(0)

    def step(self, number: int) -> None:
        """Go to the state *number*."""
        raise NotImplementedError

    @classmethod
    def sound(cls, content: bytes) -> bool:
        """Whether it is one state."""
        records = len(content) // RECORD
        return content == b"".join(map(record, range(records)))


class Grow(Writer):
    """Appends."""

    files = ("uploads/grow.bin",)
    pause = 0.0005

    def step(self, number: int) -> None:
        size = os.path.getsize(self.path) // RECORD if number else 0
        with open(self.path, "ab", buffering=0) as stream:
            stream.write(b"".join(map(record, range(size, size + (50 if number else 20_000)))))


class Log(Grow):
    """Appends to a log."""

    files = ("logs/app.log",)


class Shrink(Writer):
    """Cuts its file shorter and shorter, then puts a whole one in its place."""

    files = ("uploads/shrink.bin",)

    def step(self, number: int) -> None:
        if number % 40 == 0:
            with open(self.aside, "wb") as stream:
                stream.write(b"".join(map(record, range(30_000))))
            os.replace(self.aside, self.path)
        else:
            os.truncate(self.path, os.path.getsize(self.path) - RECORD * 700)


class Replace(Writer):
    """Puts a whole new file in place of the old one."""

    files = ("uploads/replace.bin",)

    def step(self, number: int) -> None:
        with open(self.aside, "wb") as stream:
            stream.write(record(number) * size_of(number))
        os.replace(self.aside, self.path)

    @classmethod
    def sound(cls, content: bytes) -> bool:
        number = int(content[:RECORD])
        return content == record(number) * size_of(number)


class Delete(Replace):
    """The same, but for a moment there is no file."""

    files = ("uploads/delete.bin",)

    def step(self, number: int) -> None:
        if number % 2:
            os.unlink(self.path)
        else:
            super().step(number)


class Rewrite(Writer):
    """Writes over its file from the front, block by block, in place."""

    files = ("uploads/rewrite.bin",)
    blocks = 1500

    def step(self, number: int) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        for block in range(self.blocks):
            os.pwrite(descriptor, record(number) * BLOCK, block * BLOCK * RECORD)
        os.close(descriptor)

    @classmethod
    def sound(cls, content: bytes) -> bool:
        # At one moment: some blocks of a state, then those of the state before.
        numbers = [int(content[start : start + RECORD]) for start in range(0, len(content), BLOCK * RECORD)]
        whole = content == b"".join(record(number) * BLOCK for number in numbers) and len(numbers) == cls.blocks
        return whole and numbers == sorted(numbers, reverse=True) and numbers[0] - numbers[-1] <= 1


class Truncate(Writer):
    """Empties its file and writes it anew, in pieces."""

    files = ("uploads/truncate.bin",)

    def step(self, number: int) -> None:
        with open(self.path, "wb", buffering=0) as stream:
            for _block in range(size_of(number) // BLOCK):
                stream.write(record(number) * BLOCK)

    @classmethod
    def sound(cls, content: bytes) -> bool:
        if not content:
            return True
        number = int(content[:RECORD])
        blocks = len(content) // BLOCK // RECORD
        return content == record(number) * (BLOCK * blocks) and blocks <= size_of(number) // BLOCK


class Rename(Writer):
    """A file that is always there, under one of two names."""

    files = ("uploads/a/moves.bin", "uploads/z/moves.bin")

    def prepare(self) -> None:
        for path in self.paths:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(self.path, "wb") as stream:
            stream.write(b"".join(map(record, range(5000))))

    def step(self, number: int) -> None:
        os.rename(self.paths[(number + 1) % 2], self.paths[number % 2])


class Rotate(Writer):
    """A log that is renamed and begun again."""

    files = ("logs/rotated.log", "logs/rotated.log.1")

    def step(self, number: int) -> None:
        if number % 10 == 9:
            os.replace(self.path, self.path + ".1")
        with open(self.path, "ab", buffering=0) as stream:
            size = os.path.getsize(self.path) // RECORD
            stream.write(b"".join(map(record, range(size, size + 400))))


class Store(Writer):
    """A JSON store that is rewritten whole, in place, as MOBIUS does."""

    files = ("database/projects.json",)

    def step(self, number: int) -> None:
        projects = [{"id": index, "state": number, "text": "x" * 40} for index in range(300 + number % 50)]
        with open(self.path, "w") as stream:
            json.dump({"number": number, "projects": projects}, stream)

    @classmethod
    def sound(cls, content: bytes) -> bool:
        try:
            value = json.loads(content)
        except ValueError:
            return False
        return {project["state"] for project in value["projects"]} == {value["number"]} and len(value["projects"]) == 300 + value[
            "number"
        ] % 50


class Draft(Store):
    """A JSON store that is written under another name beside it and then renamed; that name is there for a moment, again and again."""

    pause = 0.001

    def step(self, number: int) -> None:
        name, self.path = self.path, self.path + ".tmp"
        super().step(number)
        os.replace(self.path, name)
        self.path = name


KINDS: dict[str, type[Writer]] = {
    kind.__name__.lower(): kind for kind in (Grow, Log, Shrink, Replace, Delete, Rewrite, Truncate, Rename, Rotate, Store, Draft)
}


def main(kind: str, shared: str, rest: str) -> t.NoReturn:
    """Write in bursts with rests between them (seconds); no rest for 0."""
    writer = KINDS[kind](shared)
    writer.prepare()
    print("ready", flush=True)
    for number in itertools.count(1):
        writer.step(number)
        if writer.pause:
            time.sleep(writer.pause)
        if float(rest) and (number % 10 == 0 or kind == "store"):
            time.sleep(float(rest))
    raise AssertionError


if __name__ == "__main__":
    main(*sys.argv[1:])
