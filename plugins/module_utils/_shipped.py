# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dependencies as an archive of their own, for hosts that reach no package registry.

They are installed on the controller, once per lock file, and packed as ``deps-<lock hash>.tar.gz`` with its SHA-256 beside it. A host
that has ``deps/<lock hash>`` already needs no copy. The first member tells for which lock file and which machines it was made.
"""
from __future__ import annotations

import os
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _artifact, _commands, _deps, _files, _scratch
from ansible_collections.mobius.ops.plugins.module_utils._errors import InputError, IntegrityError

MANIFEST = "DEPENDENCIES.json"
#: What a compiled program or library begins with on Linux.
_ELF = b"\x7fELF"


class Shipped(t.NamedTuple):
    """Packed dependencies on a target."""

    path: str
    sha256: str

    def fill(self, folder: str, key: str) -> None:
        """Unpack them into an empty folder.

        :param key: the lock hash that they have to be for.
        :raises InputError: when the archive is not there, or is for another lock file or other machines.
        :raises IntegrityError: when it is damaged.
        """
        what = f"packed dependencies {self.path}"
        if not os.path.isfile(self.path):
            raise InputError(what, "a file on the target", "none", "Copy it there first")
        _artifact.verify_file(self.path, self.sha256)
        about = _about(self.path)
        if about["key"] != key:
            raise InputError(what, f"those of lock file {key}", f"those of {about['key']}", "Give all hosts the same mobius_npm_ci_args")
        if about["native"] and about["machine"] != machine():
            raise InputError(what, f"dependencies for {machine()}", f"{about['native']} for {about['machine']}",
                             "Run the playbook on a controller of the hosts' kind, or set mobius_dependencies to install")
        _files.require_space(folder, about["bytes"], what)
        _artifact.unpack(self.path, folder)
        os.unlink(os.path.join(folder, MANIFEST))


def machine() -> str:
    """What compiled dependencies depend on: the operating system and the processor, as Node names them, such as ``linux-x64``."""
    return _commands.run(["node", "-p", "process.platform + '-' + process.arch"], "/", "Node").strip()


def pack(artifact: str, store: str, npm: _deps.Npm | list[str], check_mode: bool) -> dict[str, t.Any] | None:
    """The dependencies of an artifact, installed and packed when they are not in the store: ``key, path, sha256, size, built``.

    In check mode nothing is installed; ``path`` is then ``None`` unless they are there already. ``None`` without a lock file.

    :param npm: how they are installed, or only the arguments of ``npm ci``.
    """
    npm = npm if isinstance(npm, _deps.Npm) else _deps.Npm(npm)
    with _scratch.scratch("mobius-ops-deps-") as work:
        source = work.path
        _artifact.unpack_some(artifact, source, _deps.NAMES)
        key = _deps.lock_hash(source, npm.args)
        if key is None:
            return None
        path = os.path.join(store, f"deps-{key}.tar.gz")
        if check_mode and not _artifact.stored(path):
            return {"key": key, "path": None, "sha256": None, "size": None, "built": True}
        os.makedirs(store, exist_ok=True)
        with _files.locked(os.path.join(store, f".deps-{key}.lock")):
            built = not _artifact.stored(path)
            if built:
                npm.output.phase("installing the dependencies for the hosts")
                modules, _new = _deps.install(source, os.path.join(store, "deps"), npm)
                npm.output.phase("packing the dependencies for the hosts")
                _pack(modules, path, key)
        sha256 = _artifact.read_sidecar(path)
        _artifact.verify_file(path, sha256, "Remove it and its .sha256, and run it again: it is packed anew")
        return {"key": key, "path": os.path.abspath(path), "sha256": sha256, "size": os.path.getsize(path), "built": built}


def _pack(modules: str, path: str, key: str) -> None:
    size = sum(os.lstat(os.path.join(folder, name)).st_size for folder, _dirs, names in os.walk(modules) for name in names)
    about = {"schema": _artifact.SCHEMA, "key": key, "machine": machine(), "native": _native(modules), "bytes": size}
    _artifact.pack(path, MANIFEST, about, {"node_modules": modules})
    try:
        _artifact.require_safe(path)
    except IntegrityError:  # hosts would refuse it
        os.unlink(path)
        raise


def _native(modules: str) -> str:
    """The first compiled file below a folder, empty when there is none."""
    for folder, names, files in os.walk(modules):
        names.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            if os.path.islink(path):
                continue
            with open(path, "rb") as stream:
                if stream.read(len(_ELF)) == _ELF:
                    return os.path.relpath(path, modules)
    return ""


def _about(path: str) -> dict[str, t.Any]:
    about = _artifact.first_json(path, MANIFEST)
    if not isinstance(about, dict) or about.get("schema") != _artifact.SCHEMA:
        raise IntegrityError(f"packed dependencies {path}", f"{MANIFEST} of schema {_artifact.SCHEMA} at its beginning", "none",
                             "Pack them with mobius.ops.release_artifact")
    return about
