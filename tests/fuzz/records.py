# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""State files: every record of a root, damaged by bytes and by values, and every module that reads one."""

from __future__ import annotations

import json
import os
import random
import typing as t

from support import corruption, records

from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout


class Target:
    """A root with every record."""

    def __init__(self, folder: str) -> None:
        self.layout = Layout(os.path.join(folder, "root"))
        self.archive = records.root(self.layout)
        self.files = sorted(
            os.path.join(place, name)
            for place, _dirs, names in os.walk(self.layout.root)
            for name in names
            if name.endswith((".json", ".jsonl"))
        )
        self.kept = {path: self._read(path) for path in self.files}

    @staticmethod
    def _read(path: str) -> bytes:
        with open(path, "rb") as stream:
            return stream.read()

    def case(self, chance: random.Random) -> str:
        """Damage a record, or two, and run a module."""
        for path in chance.sample(self.files, chance.choice([1, 1, 2])):
            self._write(path, damaged(chance, self.kept[path]))
        calls = records.calls(self.layout.root, 1, self.archive)
        name = chance.choice(sorted(calls))
        module, args, check = calls[name]
        try:
            result = records.in_process(module, args, check)
            wrong = records.no_sentence(result)
            assert not wrong, f"{name}: {wrong}"
            json.dumps(result).encode()
            return "refused" if result.get("failed") else "done"
        finally:
            for path, content in self.kept.items():
                self._write(path, content)

    def _write(self, path: str, content: bytes) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(content)

    def end(self) -> None:
        """Nothing runs."""


def damaged(chance: random.Random, content: bytes) -> bytes:
    """Other bytes, or a document with other values."""
    how = chance.randrange(10)
    if how == 0:
        return chance.choice(list(corruption.CONTENTS.values()))
    if how <= 2:
        return mutated(chance, content)
    try:
        lines = content.splitlines() if content.count(b"\n}") != 1 and b"}\n{" in content else [content]
        at = chance.randrange(len(lines))
        lines[at] = json.dumps(replaced(chance, json.loads(lines[at]))).encode()
        return b"\n".join(lines) + b"\n"
    except ValueError:
        return mutated(chance, content)


def replaced(chance: random.Random, value: t.Any, depth: int = 0) -> t.Any:
    """A value with something in it replaced, removed or added."""
    if depth and chance.random() < 0.3:
        return chance.choice(corruption.VALUES)
    if isinstance(value, dict) and value:
        name = chance.choice(sorted(value))
        how = chance.random()
        if how < 0.15:
            return {key: item for key, item in value.items() if key != name}
        if how < 0.25:
            return {**value, chance.choice(["", "x", "\ud800", "a\nb"]): chance.choice(corruption.VALUES)}
        return {**value, name: replaced(chance, value[name], depth + 1)}
    if isinstance(value, list) and value:
        at = chance.randrange(len(value))
        return [*value[:at], replaced(chance, value[at], depth + 1), *value[at + 1 :]]
    return chance.choice(corruption.VALUES)


def mutated(chance: random.Random, content: bytes) -> bytes:
    """A content with some bytes changed, removed, added or repeated."""
    data = bytearray(content)
    for _number in range(chance.choice([1, 1, 2, 8, 40])):
        at, length = chance.randrange(len(data) + 1), chance.choice([1, 1, 2, 5, 50])
        how = chance.randrange(5)
        if how == 0:
            del data[at : at + length]
        elif how == 1:
            data[at:at] = bytes(chance.randrange(256) for _byte in range(length))
        elif how == 2:
            data[at : at + 1] = chance.choice([b"\0", b'"', b"{", b"[", b"}", b"]", b",", b":", b"\\", b"\x1b", b"\xff", b"-", b"9", b"e9"])
        elif how == 3:
            data[at:at] = data[at : at + length] * chance.choice([1, 3, 100])
        else:
            data[at : at + length] = data[:length]
    return bytes(data)
