# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The JSON files in which MOBIUS keeps its state (mobius-app.md, "State"): are they whole, and do the paths in them still lead somewhere?

MOBIUS rewrites a store whole and not atomically. One that it cannot read it takes for none: it starts with nothing, and its next
write makes the loss permanent. And paths that it stored below the folder of a release lead nowhere once it works in another one.

The files are the service user's: they are opened without following links, and are only read up to a limit.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import stat
import time
import typing as t

from .._core import clock, foreign, fs, torn_json, wording
from .._core.errors import StateError
from . import history
from .layout import Layout

#: Bytes of a store that are read; a larger one is not looked at.
LIMIT = 128 * 1024**2
#: Seconds within which a store must be found whole.
PATIENCE = 5.0
#: Bytes of all stores that a status parses; of the rest it looks at the two ends, which tell when a writer was killed.
PARSED = 16 * 1024**2
#: Bytes of each end.
END = 64 * 1024
#: Stores that a status looks at, and those that it names, at most.
MOST, TOLD = 1000, 10


class Store(t.NamedTuple):
    """One JSON file of the component ``database``."""

    name: str
    #: Why it is no JSON document, in a few words; empty when it is one.
    torn: str
    #: How many paths in it lie below the folder of a release.
    stale: int
    content: bytes


def _moving(layout: Layout) -> re.Pattern[bytes]:
    """The beginning of a path that changes with a release, as it stands in JSON."""
    root = re.escape(json.dumps(layout.root)[:-1].encode())
    return re.compile(root + rb"/(?:releases/[A-Za-z0-9._-]+|current|slots/\d+)/")


def look(layout: Layout) -> list[Store]:
    """Every JSON store of the host, by name; those that are too large or no files are left out."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), foreign.folder(layout.component("database")) as folder:
        for name in sorted(os.listdir(folder)):
            content = _content(folder, name) if _is_store(name) else None
            if content is not None:
                found.append(Store(name, _fault(content), len(_moving(layout).findall(content)), content))
    return found


def settled(layout: Layout) -> list[Store]:
    """The same once each is whole, or after a few seconds: one that the application is just writing is not torn."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = look(layout)
        if time.monotonic() > deadline or not any(store.torn for store in found):
            return found
        time.sleep(0.05)


def require_whole(layout: Layout) -> None:
    """:raises StateError: when the application would take a store for none, and overwrite it."""
    torn = [store for store in settled(layout) if store.torn]
    if torn:
        raise _error(layout, torn[0].name, torn[0].torn)


def torn(layout: Layout) -> list[str]:
    """For each torn store a sentence with what to do. It is for a status, so it stays cheap when stores are large or many.

    A store that the application is writing looks torn for a moment. Each is read again for a few seconds, until it has been whole once.
    """
    deadline = time.monotonic() + PATIENCE
    found = _glance(layout, None)
    while found and time.monotonic() <= deadline:
        time.sleep(0.05)
        found = _glance(layout, set(found))
    sentences = [str(_error(layout, name, fault)) for name, fault in itertools.islice(found.items(), TOLD)]
    return sentences + ([f"{len(found) - TOLD} more JSON stores are torn."] if len(found) > TOLD else [])


def _error(layout: Layout, name: str, fault: str) -> StateError:
    return StateError(
        f"store {layout.component('database')}/{wording.printable(name)}",
        "a JSON document",
        fault,
        "The application would begin with nothing and overwrite it. Restore it (mobius.ops.restore), repair it, or "
        "set mobius_allow_torn_stores to start all the same",
    )


def _glance(layout: Layout, names: set[str] | None) -> dict[str, str]:
    """Name -> fault of each store that is torn at this moment; only of those *names* when they are given."""
    found, left = {}, PARSED
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), foreign.folder(layout.component("database")) as folder:
        stores = [name for name in sorted(os.listdir(folder)) if _is_store(name) and (names is None or name in names)]
        for name in stores[:MOST]:
            with contextlib.suppress(OSError), os.fdopen(foreign.plain(name, at=folder), "rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                if size <= left:
                    left -= size
                    fault = _fault(stream.read(size))
                else:
                    head = stream.read(END)
                    stream.seek(max(0, size - END))
                    fault = "one that is cut" if torn_json.is_cut(head, stream.read(END)) else ""
                if fault:
                    found[name] = fault
    return found


def _is_store(name: str) -> bool:
    return name.lower().endswith(".json") and not name.startswith(".")


def repair(layout: Layout, app: str) -> dict[str, int]:
    """Let stored paths lead to the folder that stays, while the application does not run. What was there is kept in ``state/stores/``.

    :param app: the folder in which the application sees every release.
    :returns: name of each store that was changed -> how many paths.
    """
    changed = {}
    kept = layout.path("state", "stores", clock.stamp())
    for store in look(layout):
        if store.stale and not store.torn:
            content = _moving(layout).sub(json.dumps(app)[:-1].encode().replace(b"\\", rb"\\") + b"/", store.content)
            os.makedirs(kept, mode=0o700, exist_ok=True)
            with fs.atomic_file(os.path.join(kept, store.name), 0o600) as stream:
                stream.write(store.content)
            if _replace(layout, store, content):
                changed[store.name] = store.stale
    if changed:
        history.record(layout, "paths_corrected", f"stored paths lead to {app} now", stores=changed, kept=kept)
    return changed


def _content(folder: int, name: str) -> bytes | None:
    try:
        descriptor = foreign.plain(name, at=folder)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(LIMIT) if os.fstat(descriptor).st_size <= LIMIT else None


def _fault(content: bytes) -> str:
    try:
        json.loads(content, parse_int=float)  # Python refuses an integer of thousands of digits; no application does
    except RecursionError:  # deeper than Python reads
        return "" if content.rstrip()[-1:] in (b"}", b"]") else "one that is cut"
    except ValueError as error:
        return "an empty file" if not content.strip() else f"none: {error}"[:200]
    return ""


def _replace(layout: Layout, store: Store, content: bytes) -> bool:
    """Put new content in a store's place, as its owner's; not when somebody has changed it meanwhile."""
    name = f".{store.name}.{os.getpid()}.tmp"
    with foreign.folder(layout.component("database")) as folder:
        if _content(folder, store.name) != store.content:
            return False
        status = os.stat(store.name, dir_fd=folder, follow_symlinks=False)
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                if os.geteuid() == 0:
                    os.fchown(descriptor, status.st_uid, status.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & 0o777)
                os.fsync(descriptor)
            os.rename(name, store.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            raise
        os.fsync(folder)
    return True
