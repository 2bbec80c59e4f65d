# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SHA-256 sidecars: ``<file>.sha256`` beside a file, in the form that ``sha256sum -c`` reads."""
from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import stat
import sys
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _files

SUFFIX = ".sha256"
_LINE = re.compile(rb"(\\?)([0-9a-f]{64}) [ *]([^\n]+)\n?")

#: Seconds after which a thread that computes lets another one have a turn.
_TURN = 0.0005

T = t.TypeVar("T")
R = t.TypeVar("R")


def in_threads(work: t.Callable[[T], R], items: t.Sequence[T]) -> list[R]:
    """``work`` of every item, several at once (hashing and inflating release the interpreter's lock), in order.

    The first error is raised; work that has not begun by then is dropped.
    """
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 1))
    try:
        with brisk():
            return list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)


def begin(work: t.Callable[[], R]) -> concurrent.futures.Future[R]:
    """Have *work* done in a thread meanwhile; its result is the future's."""
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    try:
        return pool.submit(work)
    finally:
        pool.shutdown(wait=False)


@contextlib.contextmanager
def brisk() -> t.Iterator[None]:
    """Let threads take turns often: one that computes would keep one that waits for it 5 ms after each short read."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _escaped(name: bytes) -> bytes:
    return name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def line(path: str, digest: str) -> bytes:
    """The sidecar's content. A name with a backslash or a line break is escaped as ``sha256sum`` does it."""
    name = os.fsencode(os.path.basename(path))
    escaped = _escaped(name)
    return (b"\\" if escaped != name else b"") + digest.encode() + b"  " + escaped + b"\n"


def read(path: str) -> str | None:
    """The digest that the sidecar of *path* holds: ``None`` without a sidecar, ``""`` when it is not one of *path*."""
    try:
        with open(path + SUFFIX, "rb") as stream:
            content = stream.read(64 * 1024)
    except FileNotFoundError:
        return None
    match = _LINE.fullmatch(content)
    if not match:
        return ""
    name = os.fsencode(os.path.basename(path))
    expected = _escaped(name) if match.group(1) else name
    return match.group(2).decode() if match.group(3) == expected else ""


def write(path: str, digest: str) -> None:
    """Write the sidecar of *path* as one step, readable by whom the file is readable by."""
    mode = stat.S_IMODE(os.stat(path).st_mode) & 0o666
    with _files.atomic_file(path + SUFFIX, mode) as stream:
        stream.write(line(path, digest))


def examine(path: str) -> dict[str, t.Any]:
    """``path``, ``sha256`` of a file and its ``status``: ok, mismatch, missing_sidecar or missing_file."""
    if not os.path.isfile(path):
        return {"path": path, "sha256": None, "status": "missing_file"}
    digest = _files.sha256_file(path)
    said = read(path)
    status = "missing_sidecar" if said is None else "ok" if said == digest else "mismatch"
    return {"path": path, "sha256": digest, "status": status}
