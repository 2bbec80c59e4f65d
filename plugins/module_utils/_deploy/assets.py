# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of the client whose names change with their content: every release that is kept offers those of the others, too.

A browser that opened the page before a deploy asks for the old release's files afterwards, and one that opened it before a
rollback for the new one's. They are hard links, which cost no room; no file of a release is ever replaced.
"""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

from .._core import foreign, fs
from .._target import records
from .._target.layout import Layout

#: In a release's folder: the files that it came with.
OWN = ".assets.json"


def share(layout: Layout, release_id: str, others: list[str], folders: list[str]) -> int:
    """Offer a new release's files in the other releases, and theirs in it; how many links were made.

    :param folders: inside a release, such as ``client/build/assets``.
    """
    mine, made = own(layout, release_id, folders), 0
    for other in others:
        if other != release_id:
            theirs = own(layout, other, folders)
            made += _link(layout.release(other), layout.release(release_id), theirs)
            made += _link(layout.release(release_id), layout.release(other), mine)
    return made


def own(layout: Layout, release_id: str, folders: list[str]) -> list[str]:
    """The files of these folders that a release came with, as they were found when it was first looked at."""
    path = os.path.join(layout.release(release_id), OWN)
    found = records.read(path, records.ASSETS)
    if found is None:
        found = sorted(name for folder in folders for name in _walk(layout.release(release_id), folder))
        fs.write_json(path, found)
    return [name for name in found if isinstance(name, str)]


def _walk(release: str, folder: str) -> t.Iterator[str]:
    """The files below a folder of a release; no link of the artifact is followed, also not one that is on the way to it."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), foreign.folder(release, folder) as top:
        for place, _dirs, names, _descriptor in os.fwalk(".", dir_fd=top):
            yield from (os.path.normpath(os.path.join(folder, place, name)) for name in names)


def _link(source: str, target: str, names: list[str]) -> int:
    made = 0
    for name in names:
        folder, base = os.path.split(name)
        # Only beside others: a release that was built in another way is not given a new folder.
        with (
            contextlib.suppress(FileExistsError, FileNotFoundError, NotADirectoryError),
            foreign.folder(source, folder) as there,
            foreign.folder(target, folder) as here,
        ):
            if stat.S_ISREG(os.stat(base, dir_fd=there, follow_symlinks=False).st_mode):
                os.link(base, base, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
                made += 1
    return made
