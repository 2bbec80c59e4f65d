# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packed modules, kept from one run to the next. No Ansible in here.

Ansible packs a module with everything that it imports into a zip file, once a run. Finding out what that is takes a third of a second
of processor time a module, and the host compiles every file of it again for each task.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import importlib.util
import io
import marshal
import os
import pickle
import shutil
import stat
import tempfile
import typing as t
import zipfile

#: Only the files of these are known, so only their modules are kept.
OWN = ("ansible_collections.mobius.ops.", "ansible.modules.")
#: Folders of other versions that stay.
KEPT = 4


def fingerprint(folders: t.Iterable[str], *facts: str) -> str:
    """A name for the state of all Python files below some folders, and of facts such as versions."""
    found = hashlib.sha256(repr(facts).encode())
    for top in folders:
        for folder, names, files in os.walk(top):
            names.sort()
            for name in sorted(one for one in files if one.endswith(".py")):
                path = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    state = os.stat(path)
                    found.update(repr((path, state.st_size, state.st_mtime_ns, state.st_ctime_ns)).encode())
    return found.hexdigest()[:32]


def rewritten(packed: bytes, change: t.Callable[[zipfile.ZipInfo, bytes], dict[str, bytes]]) -> bytes:
    """A packed module with other files in it.

    :param packed: a file of Ansible's: a zip file in base64, or since ansible-core 2.19 a pickled object that has one.
    :param change: what becomes of a file: names and contents.
    """
    entry = pickle.loads(packed) if packed[:1] == b"\x80" else None
    made = io.BytesIO()
    encoded = entry.zip_data if entry else packed
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(encoded))) as before, zipfile.ZipFile(made, "w") as after:
        for info in before.infolist():
            for name, content in change(info, before.read(info)).items():
                after.writestr(zipfile.ZipInfo(name, info.date_time), content, info.compress_type)
    encoded = base64.b64encode(made.getvalue())
    return pickle.dumps(dataclasses.replace(entry, zip_data=encoded)) if entry else encoded


def with_bytecode(packed: bytes) -> bytes:
    """A packed module with the bytecode of each file beside its source. Another version of Python uses the source (PEP 552)."""
    return rewritten(packed, _compiled)


def _compiled(info: zipfile.ZipInfo, source: bytes) -> dict[str, bytes]:
    if not info.filename.endswith(".py"):
        return {info.filename: source}
    code = marshal.dumps(compile(source, info.filename, "exec", dont_inherit=True))
    head = importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + importlib.util.source_hash(source)
    return {info.filename: source, info.filename + "c": head + code}


class Store:
    """The packed modules of one state of the collection.

    :param top: the folder of all states. Its content runs on hosts, so it belongs to the user alone.
    :param name: of this state.
    :param bytecode: whether modules get their bytecode.
    """

    def __init__(self, top: str, name: str, bytecode: bool) -> None:
        self._top, self._folder, self._bytecode = top, os.path.join(top, f"{name}-bytecode" if bytecode else name), bytecode

    def give(self, cache: str) -> None:
        """Put links to what is kept into the folder where Ansible looks for modules that it has packed in this run."""
        self._make()
        os.makedirs(cache, mode=0o700, exist_ok=True)
        for name in os.listdir(self._folder):
            if not name.startswith("."):
                with contextlib.suppress(FileExistsError):
                    os.symlink(os.path.join(self._folder, name), os.path.join(cache, name))

    def take(self, cache: str) -> None:
        """Keep what a run has packed."""
        for name in sorted(os.listdir(cache)) if os.path.isdir(cache) else []:
            path = os.path.join(cache, name)
            if name.startswith(OWN) and not name.endswith((".lock", "-part")) and not os.path.islink(path):
                with open(path, "rb") as stream:
                    packed = stream.read()
                self._write(name, with_bytecode(packed) if self._bytecode else packed)

    def _make(self) -> None:
        os.makedirs(self._top, mode=0o700, exist_ok=True)
        state = os.lstat(self._top)
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o022:
            raise PermissionError(0, "expected a folder that only its owner, you, may write to. Correct its owner and mode", self._top)
        if not os.path.isdir(self._folder):
            self._sweep()
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
        os.utime(self._folder)

    def _write(self, name: str, content: bytes) -> None:
        descriptor, path = tempfile.mkstemp(prefix=".", dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            os.rename(path, os.path.join(self._folder, name))
        except BaseException:
            os.unlink(path)
            raise

    def _sweep(self) -> None:
        """Remove the states that were not used for longest."""
        with os.scandir(self._top) as entries:
            found = sorted((entry for entry in entries if entry.is_dir(follow_symlinks=False)), key=lambda entry: entry.stat().st_mtime)
        for entry in found[:-KEPT]:
            shutil.rmtree(entry.path, ignore_errors=True)
