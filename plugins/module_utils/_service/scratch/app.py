# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The drill's own instance of the application: from a copy of a release, on restored data, on a spare port, for a moment.

Its scratch folder is laid out like a root, so that the links of a release lead to the copy of the data. It runs where
the live root is read-only and the copy stands in place of ``shared``, as far as the host allows it.
"""
from __future__ import annotations

import os
import shutil
import socket
import sys
import typing as t

from ..._core import dotenv, fs, walk
from ..._target import app_path, shared_folders
from ..._target.layout import Layout
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
    source = live.release(release_id)

    def left_out(folder: str, names: list[str]) -> set[str]:
        """The links to what is shared, whichever the release has."""
        paths = [os.path.join(folder, name) for name in names if os.path.islink(os.path.join(folder, name))]
        return {os.path.basename(path) for path in paths
                if sandbox.below(os.path.normpath(os.path.join(folder, os.readlink(path))), live.shared)}

    with fs.open_umask():
        os.makedirs(scratch.releases, exist_ok=True)
        shutil.copytree(source, scratch.release(release_id), symlinks=True, ignore=left_out)
        os.symlink(live.deps, scratch.deps)
        app_path.mend(scratch, scratch.release(release_id), shared_folders.load(live))


def size_of_code(live: Layout, release_id: str | None) -> int:
    """Bytes of a release's own files; links are not followed."""
    return walk.size(live.release(release_id), 4096) if release_id else 0


def build_spec(live: Layout, scratch: Layout, service: dict[str, t.Any], release_id: str, port: int,
               environment: dict[str, t.Any]) -> dict[str, t.Any]:
    """The definition of the instance: the service's own, but for where it runs, what it listens on and where it writes."""
    temporary = scratch.path("tmp")
    told = {**service["environment"], "HOST": LOOPBACK, "TMPDIR": temporary,
            **{key: str(value) for key, value in environment.items()}, "PORT": str(port), MARK: scratch.root}
    named = sorted(key for key, value in {**dotenv.read(scratch.env_file), **told}.items()
                   if live.root in str(value).replace(scratch.root, ""))
    used = (live.root, scratch.root, sys.prefix, service["command"][0])
    app = service.get("app") if os.path.isdir(service.get("app") or "") else None
    private = [folder for folder in TEMPORARY if not any(sandbox.below(path, folder) for path in used)]
    return {
        **service, "name": f"{service['name']}-drill", "working_dir": scratch.release(release_id), "environment": told,
        "env_file": scratch.env_file, "port": port, "host": LOOPBACK, "console_log": scratch.path("console.log"),
        "writable": scratch.root, "guarded": live.root, "parent": os.getpid(),
        "instead": {live.shared: scratch.shared, **dict.fromkeys(private, temporary),
                    **({app: scratch.release(release_id)} if app else {})},
        "app": app,
        "required": f"{', '.join(named)} name {live.root}, where the live data is" if named else "",
    }
