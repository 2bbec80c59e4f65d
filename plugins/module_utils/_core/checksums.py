# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SHA-256 sidecars: ``<file>.sha256`` beside a file, as ``sha256sum`` writes it; read in every form that ``sha256sum -c`` accepts."""

from __future__ import annotations

import os
import re
import stat
import typing as t

from . import fs

SUFFIX = ".sha256"
#: The forms of a line: that of ``sha256sum``, and that of BSD, ``--tag`` and OpenSSL.
_LINE = re.compile(rb"[ \t]*(?P<escaped>\\?)(?P<digest>[0-9A-Fa-f]{64}) [ *]?(?P<name>.+)", re.DOTALL)
_TAGGED = re.compile(rb"[ \t]*(?P<escaped>\\?)SHA(?:2-)?256 ?\((?P<name>.+)\) ?= ?(?P<digest>[0-9A-Fa-f]{64})", re.DOTALL)
_ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}


def _escaped(name: bytes) -> bytes:
    return name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def line(path: str, digest: str) -> bytes:
    """The sidecar's content. A name with a backslash or a line break is escaped as ``sha256sum`` does it."""
    name = os.fsencode(os.path.basename(path))
    escaped = _escaped(name)
    return (b"\\" if escaped != name else b"") + digest.encode() + b"  " + escaped + b"\n"


def read(path: str) -> str | None:
    """The digest that the sidecar of *path* holds: ``None`` without a sidecar, ``""`` when it has not one digest of *path*.

    Of a name with folders the last part counts: a sidecar travels with its file.
    """
    try:
        with open(path + SUFFIX, "rb") as stream:
            content = stream.read(64 * 1024)
    except FileNotFoundError:
        return None
    name, found = os.fsencode(os.path.basename(path)), set()
    for entry in content.split(b"\n"):
        match = _TAGGED.fullmatch(entry.rstrip(b"\r")) or _LINE.fullmatch(entry.rstrip(b"\r"))
        if match and _unescaped(match["name"], bool(match["escaped"])).rpartition(b"/")[2] == name:
            found.add(match["digest"].decode().lower())
    return found.pop() if len(found) == 1 else ""


def _unescaped(name: bytes, escaped: bool) -> bytes:
    return re.sub(rb"\\[\\nr]", lambda match: _ESCAPES[match[0]], name) if escaped else name


def write(path: str, digest: str) -> None:
    """Write the sidecar of *path* as one step, readable by whom the file is readable by."""
    mode = stat.S_IMODE(os.stat(path).st_mode) & 0o666
    with fs.atomic_file(path + SUFFIX, mode) as stream:
        stream.write(line(path, digest))


class Examined(t.TypedDict):
    """A file, its SHA-256 unless it is missing, and what its sidecar says of it."""

    path: str
    sha256: str | None
    status: str


def examine(path: str) -> Examined:
    """``path``, ``sha256`` of a file and its ``status``: ok, mismatch, malformed_sidecar, missing_sidecar or missing_file."""
    if not os.path.isfile(path):
        return {"path": path, "sha256": None, "status": "missing_file"}
    digest = fs.sha256_file(path)
    said = read(path)
    status = {None: "missing_sidecar", "": "malformed_sidecar", digest: "ok"}.get(said, "mismatch")
    return {"path": path, "sha256": digest, "status": status}
