# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names inside an archive, and folders that are reached without following a link."""

from __future__ import annotations

import os
import typing as t

from ..._target.layout import COMPONENTS

MANIFEST = "MANIFEST.json"


def to_text(name: str) -> str:
    """A name of this system as text that is the same in every locale; bytes that are not UTF-8 stay surrogates."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def to_disk(text: str) -> str:
    """The opposite of :func:`to_text`."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def posix_only(paths: t.Iterable[str]) -> bool:
    """Whether some of these names cannot be told apart, or mean something else, on systems other than POSIX."""
    seen = set()
    for path in paths:
        folded = path.casefold()
        if folded in seen or "\\" in path:
            return True
        seen.add(folded)
    return False


def wrong_with(path: str) -> str | None:
    """What makes a member's path unfit to be written below a folder; ``None`` when nothing does."""
    parts = path.split("/")
    if "\0" in path:
        return "a NUL in its name"
    if path.startswith("/"):
        return "an absolute path"
    if ".." in parts:
        return "'..' in its path"
    if "" in parts or "." in parts:
        return "an empty or '.' step in its path"
    if parts[0] not in COMPONENTS:
        return "a path that is not below a known component"
    if max(map(len, parts)) > 63 and max(len(part.encode("utf-8", "surrogateescape")) for part in parts) > 255:
        return "a name of more than 255 bytes"
    return None
