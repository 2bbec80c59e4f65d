# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One flipped byte, a cut, an added byte: caught before the target is touched, whether or not the sidecar knows of it."""

from __future__ import annotations

import hashlib
import io
import os
import random
import re
import shutil
import sqlite3
import struct
import typing as t
import zipfile

import pytest
from support import trees
from support.state import State

#: Fields of zip headers that say nothing about what is restored: when, by which program, for which program. The manifest
#: has the true times and modes.
MEANINGLESS = ("made by", "version needed", "time", "date", "internal attributes", "external attributes", "disk")


#: In the sidecar's line, replaced by that of each copy.
STAMP = b"20250101_000000.zip"


class Sound:
    """A sound archive beside a root that is in another state, and what surrounds both."""

    def __init__(self, state: State, chance: random.Random) -> None:
        self.state = state
        state.put("config/.env", b"KEY=1\n", 0o600)
        state.put("uploads/a.png", chance.randbytes(30_000))
        state.put("uploads/text.txt", b"roll the dice\n" * 200)
        state.put("logs/empty.log", b"")
        os.symlink("a.png", state.path("uploads/link"))
        with sqlite3.connect(state.path("database/mobius.db")) as connection:
            connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY)")
        connection.close()
        state.settle()
        self.archive = state.backup().good()["archive"]
        with open(self.archive, "rb") as archive, open(self.archive + ".sha256", "rb") as sidecar:
            self.content, self.sidecar = archive.read(), sidecar.read()
        self.sidecar = self.sidecar.replace(self.archive[-len(STAMP) :].encode(), STAMP)
        self.folder = os.path.join(state.root, "backups", "copies")
        state.restore(self.archive, safety_backup=False).good()
        self.restored = state.facts()
        state.put("uploads/text.txt", b"live now\n")
        self.before = self.around()

    def around(self) -> dict[str, t.Any]:
        """All of the root, but for the archives; a restore keeps its journal in the folder ``state`` meanwhile."""
        return trees.facts(self.state.root, leave_out=("backups",), timeless=("state",))

    def copies(self, archives: t.Iterable[bytes] = (), sidecars: t.Iterable[bytes] = (), sealed: bool = False) -> list[str]:
        """Damaged copies: archives, with the first sidecar or (*sealed*) one that fits, and sidecars of the sound archive.

        Copies with other names need sidecars with other names; all of these have as many letters.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        pairs = [(content, None) for content in archives] + [(self.content, sidecar) for sidecar in sidecars]
        made = []
        for number, (content, sidecar) in enumerate([*pairs, (self.content, None)]):
            name = f"dhash_production_2025{number // 28 % 12 + 1:02}{number % 28 + 1:02}_{number // 336:06}.zip"
            digest = hashlib.sha256(content if sealed else self.content).hexdigest()
            right = f"{digest}  {name}\n".encode()
            if sidecar is not None:
                right = sidecar.replace(STAMP, name.encode()[-len("20250101_000000.zip") :])
            for path, data in ((name, content), (name + ".sha256", right)):
                with open(os.path.join(self.folder, path), "wb") as stream:
                    stream.write(data)
            made.append(os.path.join(self.folder, name))
        return made

    def listed(self, verify: str) -> dict[str, str]:
        """The status of each copy."""
        return {one["archive"]: one["status"] for one in self.state.info(dest=self.folder, verify=verify)}

    def check_caught(self, copies: list[str], statuses: t.Collection[str] = ("corrupt",)) -> None:
        """All but the last are refused by the restore, and shown by the listing."""
        assert len(copies) > 1
        for verify in ("checksum", "deep"):
            found = self.listed(verify)
            assert found.pop(copies[-1]) == "verified" and set(found) == set(copies[:-1])
            assert set(found.values()) <= set(statuses), [path for path in found if found[path] not in statuses]
        for path in copies[:-1]:
            message = self.state.restore(path, allow_unverified=True).sentence()
            assert message.startswith("archive "), message
            assert self.around() == self.before, path
        self.state.restore(copies[-1], safety_backup=False, check=True).good()

    def missed(self, copies: list[str]) -> list[int]:
        """The damage that is not found without the help of a sidecar: what is restored is right to the last bit then."""
        found, missed = self.listed("deep"), []
        assert found[copies[-1]] == "verified"
        for number, path in enumerate(copies[:-1]):
            ended = self.state.restore(path, safety_backup=False)
            if ended.status:
                assert found[path] == "corrupt" and ended.sentence() and self.around() == self.before, path
                continue
            missed.append(number)
            assert found[path] == "verified" and self.state.facts() == self.restored, path
            self.state.put("uploads/text.txt", b"live now\n")
            self.before = self.around()
        return missed


def fields(content: bytes) -> dict[int, str]:
    """Offset -> what the byte says, of all headers; content is not in it."""
    found: dict[int, str] = {}

    def name(start: int, sizes: str, words: str) -> int:
        for size, word in zip(sizes, words.split(", ")):
            for offset in range(start, start + int(size)):
                found[offset] = word
            start += int(size)
        return start

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            name(
                info.header_offset,
                "4222224442" + "2",
                "signature, version needed, flags, method, time, date, crc, packed, size, name length, extra length",
            )
        at = archive.start_dir
    while content[at : at + 4] == b"PK\1\2":
        lengths = struct.unpack_from("<3H", content, at + 28)
        name(
            at,
            "411222224442222244",
            "signature, made by, made by, version needed, flags, method, time, date, crc, packed, size, "
            "name length, extra length, comment length, disk, internal attributes, external attributes, offset",
        )
        at += 46 + sum(lengths)
    name(at, "42222442", "signature, disk, disk, count, count, length, start, comment length")
    return found


def bodies(content: bytes, methods: tuple[int, ...] = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)) -> list[range]:
    """Where the content of each member lies that is stored in one of these ways."""
    found = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            start = info.header_offset + 30 + sum(struct.unpack_from("<2H", content, info.header_offset + 26))
            if info.compress_type in methods:
                found.append(range(start, start + info.compress_size))
    return [place for place in found if place]


@pytest.fixture
def sound(state: State, chance: random.Random) -> Sound:
    """A sound archive."""
    return Sound(state, chance)


def flipped(chance: t.Any, content: bytes, offset: int) -> bytes:
    """The content with another byte at one offset: one bit of it or more."""
    change = chance.choice([1 << chance.randrange(8), chance.randrange(1, 256)])
    return content[:offset] + bytes([content[offset] ^ change]) + content[offset + 1 :]


#: What is said of an archive whose sidecar is damaged: another digest, or nothing that is known to be one.
MALFORMED = ("corrupt", "unverified")


def plain(sidecar: bytes) -> bytes:
    """A sidecar without what ``sha256sum -c`` makes nothing of: upper case, the mark of a binary file, a folder, the end of the line."""
    return re.sub(rb" [*/]", b"  ", sidecar).lower().strip()


@pytest.mark.parts(quick=1, long=4)
def test_a_flipped_byte_is_caught(sound, chance, part, long):
    """50 in the archive in each part, and 25 in headers, which are few bytes; and 50 in the sidecar."""
    number = 50 if long else 8
    offsets = [chance.randrange(len(sound.content)) for _time in range(number)]
    offsets += chance.sample(sorted(fields(sound.content)), number // 2)
    sound.check_caught(sound.copies([flipped(chance, sound.content, offset) for offset in offsets]))
    offsets = [chance.randrange(len(sound.sidecar)) for _time in range(number)]
    sidecars = [flipped(chance, sound.sidecar, offset) for offset in offsets]
    different = [one for one in sidecars if plain(one) != plain(sound.sidecar)]
    if different:
        sound.check_caught(sound.copies(sidecars=different), MALFORMED)


@pytest.mark.parts(quick=1, long=4)
def test_a_flipped_byte_that_the_sidecar_knows_nothing_of(sound, chance, part, long):
    """Structure, manifest and content find it, or it is in a field that nothing depends on.

    A deflated member can say the same in other words: a repetition of zeros may be copied from another place, and after
    the last block there are bits of no meaning. What it says is compared, and it is the same then.
    """
    number, known = 50 if long else 15, fields(sound.content)
    offsets = [chance.randrange(len(sound.content)) for _time in range(number)]
    by_field: dict[str, list[int]] = {}
    for offset, word in known.items():
        by_field.setdefault(word, []).append(offset)
    for places in by_field.values():  # each kind of field, too
        offsets += chance.sample(places, min(len(places), 2 if long else 1))
    offsets += [chance.choice(place) for place in bodies(sound.content) for _time in range(4 if long else 1)]
    missed = sound.missed(sound.copies([flipped(chance, sound.content, offset) for offset in offsets], sealed=True))
    deflated = [offset for place in bodies(sound.content, (zipfile.ZIP_DEFLATED,)) for offset in place]
    wrong = {
        (known.get(offset, "content"), offset)
        for offset in map(offsets.__getitem__, missed)
        if known.get(offset) not in MEANINGLESS and offset not in deflated
    }
    assert not wrong, (sorted(wrong), len(sound.content))


def test_cut_short(sound, chance, long):
    """Every archive that ends too early is refused, whether or not the sidecar was made for it."""
    size = len(sound.content)
    lengths = {0, 1, 21, 22, size - 1, size - 22, size - 23}
    while len(lengths) < (60 if long else 12):
        lengths.add(chance.randrange(size))
    cut = [sound.content[:length] for length in sorted(lengths)]
    sound.check_caught(sound.copies(cut))
    assert not sound.missed(sound.copies(cut, sealed=True))
    # A line's end may be missing: so sha256sum has it.
    sidecars = [sound.sidecar[:length] for length in range(0, len(sound.sidecar) - 1, 1 if long else 15)]
    sound.check_caught(sound.copies(sidecars=sidecars), MALFORMED)


def test_bytes_added(sound, chance, long):
    size = len(sound.content)
    more = [b"\0", b"\n", b"more", sound.content, b"PK\5\6" + bytes(18), sound.content[-22:], bytes(65536)]
    places = [(place, added) for place in (0, size) for added in more]
    places += [(chance.randrange(1, size), chance.choice(more)) for _time in range(40 if long else 3)]
    longer = [sound.content[:place] + added + sound.content[place:] for place, added in places]
    sound.check_caught(sound.copies(longer))
    assert not sound.missed(sound.copies(longer, sealed=True))
    # sha256sum passes over further lines; not over what stands before the digest or after the name.
    before = [added + sound.sidecar for added in (b"x", b"0" * 100_000, sound.sidecar[:10])]
    after = [sound.sidecar[:-1] + b"x\n", sound.sidecar + b"0" * 64 + sound.sidecar[64:]]
    sound.check_caught(sound.copies(sidecars=before + after), MALFORMED)
