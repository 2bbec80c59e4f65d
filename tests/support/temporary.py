# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each run of tests has a folder for temporary files of its own.

By default pytest keeps those of all runs in one folder per user, and every run takes away the rights of other users on it when it begins. A
service that runs as another user in a test of another run then cannot reach its files any more.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import processes, walk
from support import remains

#: Runs whose files stay, to be looked at.
KEPT = 3
_NAME = re.compile(r"mobius-tests-(\d+)")


def sweep(place: str) -> None:
    """Remove what runs that have ended left in *place*, but for the newest ones."""
    running = set(processes.pids())
    with os.scandir(place) as found:
        ours = [
            one
            for one in found
            if _NAME.fullmatch(one.name)
            and one.is_dir(follow_symlinks=False)
            and one.stat(follow_symlinks=False).st_uid == os.geteuid()
            and int(one.name.rpartition("-")[2]) not in running
        ]
    for one in sorted(ours, key=lambda one: one.stat(follow_symlinks=False).st_mtime)[:-KEPT]:
        walk.remove(one.path)  # a test may have left folders that are too deep for shutil


def pytest_configure(config: pytest.Config) -> None:
    """Give this run its folder, also one that a test of another run starts. Workers get theirs from the run."""
    chosen = os.environ.get("PYTEST_DEBUG_TEMPROOT", "")
    if hasattr(config, "workerinput") or (chosen and not _NAME.fullmatch(os.path.basename(chosen))):
        return
    sweep(tempfile.gettempdir())
    root = os.path.join(tempfile.gettempdir(), f"mobius-tests-{os.getpid()}")
    shutil.rmtree(root, ignore_errors=True)
    os.mkdir(root, 0o700)
    os.environ["PYTEST_DEBUG_TEMPROOT"] = root
    # Services of tests go on by themselves. When the run is interrupted, its workers end before they have stopped theirs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    config.add_cleanup(lambda: remains.end_all(os.path.join(root, "")))
