# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The drill's own instance of the application: from a copy of a release, on restored data, on a spare port, for a moment.

Its scratch folder is laid out like a root, so that the links of a release lead to the copy of the data. It runs where
the live root is read-only and the copy stands in place of ``shared``, as far as the host allows it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import sys
import typing as t

from ..._core import dotenv, foreign, fs, walk
from ..._core.errors import StateError
from ..._target import app_path, shared_folders
from ..._target.layout import Layout
from ..._target.record_types import ServiceSpec
from . import sandbox

#: Names the scratch folder in the instance's environment: by it a process is known as one of a drill.
MARK = "MOBIUS_DRILL"
LOOPBACK = "127.0.0.1"
#: Folders that the instance sees empty ones of its own in place of.
TEMPORARY = ("/tmp", "/var/tmp")


def spare_port() -> int:
    """A TCP port of this host that nobody uses."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return listener.getsockname()[1]


def copy_release(live: Layout, scratch: Layout, release_id: str) -> None:
    """The release's code in the scratch folder, its links leading to the scratch folder's data; no ``node_modules``.

    Node finds its files by their real path, so that links to the live code would lead to the live data.
    """
    with fs.open_umask():
        os.makedirs(scratch.releases, exist_ok=True)
        _copy(live.release(release_id), scratch.release(release_id), live.shared)
        os.symlink(live.deps, scratch.deps)
        app_path.mend(scratch, scratch.release(release_id), shared_folders.load(live))


def _copy(source: str, target: str, shared: str) -> None:
    """Copy a tree of any depth with modes and times, without its links to what is shared, whichever those are. Both are root's."""
    os.mkdir(target)
    with contextlib.ExitStack() as stack:
        made, waiting = walk.Held(target, stack), {""}
        for folder in walk.walk(source):
            into = made.enter(folder.relative)
            waiting.remove(folder.relative)
            for name, status in folder.entries:
                if stat.S_ISDIR(status.st_mode):
                    os.mkdir(name, 0o755, dir_fd=into)
                    waiting.add(os.path.join(folder.relative, name))
                elif stat.S_ISLNK(status.st_mode):
                    leads = os.readlink(name, dir_fd=folder.descriptor)
                    if not sandbox.below(os.path.normpath(os.path.join(source, folder.relative, leads)), shared):
                        os.symlink(leads, name, dir_fd=into)
                elif stat.S_ISREG(status.st_mode):
                    _copy_file(name, folder.descriptor, into)
    if waiting:
        raise StateError(
            f"release {source}",
            "to be copied",
            f"a folder that could not be read: {min(waiting) or source}",
            "Look at the disk (dmesg), or deploy the release again",
        )


def _copy_file(name: str, source: int, target: int) -> None:
    with (
        os.fdopen(foreign.plain(name, at=source), "rb") as read,
        os.fdopen(foreign.plain(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, target), "wb") as written,
    ):
        status = os.fstat(read.fileno())
        shutil.copyfileobj(read, written, fs.CHUNK)
        written.flush()
        foreign.settle(written.fileno(), os.geteuid(), os.getegid(), stat.S_IMODE(status.st_mode) & 0o777)
        os.utime(written.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def size_of_code(live: Layout, release_id: str | None) -> int:
    """Bytes of a release's own files; links are not followed."""
    return walk.size(live.release(release_id), 4096) if release_id else 0


def build_spec(
    live: Layout, scratch: Layout, service: ServiceSpec, release_id: str, port: int, environment: t.Mapping[str, object]
) -> sandbox.InstanceSpec:
    """The definition of the instance: the service's own, but for where it runs, what it listens on and where it writes."""
    temporary = scratch.path("tmp")
    told = {
        **service["environment"],
        "HOST": LOOPBACK,
        "TMPDIR": temporary,
        **dotenv.variables(environment),
        "PORT": str(port),
        MARK: scratch.root,
    }
    named = sorted(
        key for key, value in {**dotenv.read(scratch.env_file), **told}.items() if live.root in str(value).replace(scratch.root, "")
    )
    used = (live.root, scratch.root, sys.prefix, service["command"][0])
    app = service.get("app") if os.path.isdir(service.get("app") or "") else None
    private = [folder for folder in TEMPORARY if not any(sandbox.below(path, folder) for path in used)]
    return {
        **service,
        "name": f"{service['name']}-drill",
        "working_dir": scratch.release(release_id),
        "environment": told,
        "env_file": scratch.env_file,
        "port": port,
        "host": LOOPBACK,
        "console_log": scratch.path("console.log"),
        "writable": [scratch.root],
        "guarded": live.root,
        "parent": os.getpid(),
        "instead": {
            live.shared: scratch.shared,
            **dict.fromkeys(private, temporary),
            **({app: scratch.release(release_id)} if app else {}),
        },
        "app": app,
        "required": f"{', '.join(named)} name {live.root}, where the live data is" if named else "",
    }
