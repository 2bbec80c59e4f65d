# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dependencies as an archive of their own, for hosts that reach no package registry.

They are installed on the controller, once per key, and packed as ``deps-<lock hash>.tar.gz`` with its SHA-256 beside it. A host
that has ``deps/<lock hash>`` already needs no copy. The first member tells for which lock file and which machines it was made.
"""

from __future__ import annotations

import os
import typing as t

from .._core import fs, locks, scratch
from .._core.errors import InputError, IntegrityError
from .._target import node_runtime
from . import artifacts, dependencies, dependency_needs
from .deploy_types import Packed, PackedManifest

MANIFEST = "DEPENDENCIES.json"


class Shipped(t.NamedTuple):
    """Packed dependencies on a target."""

    path: str
    sha256: str
    #: The Node that they were packed for; this host's when it was not given.
    runtime: str | None = None

    def fill(self, folder: str, key: str) -> None:
        """Unpack them into an empty folder.

        :param key: the lock hash that they have to be for.
        :raises InputError: when the archive is not there, or is for another lock file or other machines.
        :raises IntegrityError: when it is damaged.
        """
        what = f"packed dependencies {self.path}"
        if not os.path.isfile(self.path):
            raise InputError(what, "a file on the target", "none", "Copy it there first")
        artifacts.verify_file(self.path, self.sha256)
        about = _about(self.path)
        if about["key"] != key:
            raise InputError(what, f"those of lock file {key}", f"those of {about['key']}", "Give all hosts the same mobius_npm_ci_args")
        record = {"runtime": str(about.get("runtime", "")), "native": str(about.get("native", "")), "addon": str(about.get("addon", ""))}
        self.require_fit(record)
        fs.require_space(folder, about["bytes"], what)
        artifacts.unpack(self.path, folder)
        os.unlink(os.path.join(folder, MANIFEST))
        node_runtime.note(folder, record)

    def require_fit(self, record: dict[str, str] | None) -> None:
        """:raises InputError: when this host's Node cannot load the compiled ones."""
        wrong = node_runtime.misfit(record)
        if wrong:
            raise InputError(
                f"packed dependencies {self.path}",
                f"dependencies for {node_runtime.current()}",
                wrong,
                "Run the playbook on a controller with the hosts' machine and Node, or set mobius_dependencies to install",
            )


def pack(artifact: str, store: str, npm: dependencies.Npm | list[str], check_mode: bool) -> Packed | None:
    """The dependencies of an artifact, installed and packed when they are not in the store: ``key, path, sha256, size, built``.

    In check mode nothing is installed; ``path`` is then ``None`` unless they are there already. ``None`` without a lock file.

    :param npm: how they are installed, or only the arguments of ``npm ci``.
    """
    npm = npm if isinstance(npm, dependencies.Npm) else dependencies.Npm(npm)
    with scratch.scratch("mobius-ops-deps-") as work:
        source = work.path
        artifacts.unpack_some(artifact, source, dependencies.NAMES)
        runtime = node_runtime.current()
        key = dependencies.lock_hash(source, npm.args, runtime=runtime)
        if key is None:
            return None
        _refuse_tree(artifact, source, npm.args)
        path = os.path.join(store, f"deps-{key}.tar.gz")
        if check_mode and not artifacts.stored(path):
            return {"key": key, "runtime": runtime, "path": None, "sha256": None, "size": None, "built": True}
        os.makedirs(store, exist_ok=True)
        with locks.locked(os.path.join(store, f".deps-{key}.lock")):
            built = not artifacts.stored(path)
            if built:
                npm.output.phase("installing the dependencies for the hosts")
                modules, _new = dependencies.install(source, os.path.join(store, "deps"), npm)
                npm.output.phase("packing the dependencies for the hosts")
                _pack(str(modules), path, key, runtime)
        sha256 = artifacts.read_sidecar(path)
        artifacts.verify_file(path, sha256, "Remove it and its .sha256, and run it again: it is packed anew")
        return {
            "key": key,
            "runtime": runtime,
            "path": os.path.abspath(path),
            "sha256": sha256,
            "size": os.path.getsize(path),
            "built": built,
        }


def _refuse_tree(artifact: str, folder: str, args: list[str]) -> None:
    """:raises InputError: for an application whose dependencies can only be installed in its own tree."""
    manifest = artifacts.read_manifest(artifact)
    why = dependency_needs.of_tree(folder, args, manifest["files"] if manifest else ())
    if why:
        raise InputError(
            f"artifact {artifact}, with mobius_dependencies ship",
            "dependencies that the lock file alone describes",
            why,
            "Set mobius_dependencies to install, so that each host installs them in the release",
        )


def _pack(modules: str, path: str, key: str, runtime: str) -> None:
    size = sum(os.lstat(os.path.join(folder, name)).st_size for folder, _dirs, names in os.walk(modules) for name in names)
    about = {"schema": artifacts.SCHEMA, "key": key, **node_runtime.describe(modules, runtime), "bytes": size}
    artifacts.pack(path, MANIFEST, about, {"node_modules": modules})
    try:
        artifacts.require_safe(path)
    except IntegrityError:  # hosts would refuse it
        os.unlink(path)
        raise


def _about(path: str) -> PackedManifest:
    about = artifacts.first_json(path, MANIFEST)
    if not isinstance(about, dict) or about.get("schema") != artifacts.SCHEMA:
        raise IntegrityError(
            f"packed dependencies {path}",
            f"{MANIFEST} of schema {artifacts.SCHEMA} at its beginning",
            "none",
            "Pack them with mobius.ops.release_artifact",
        )
    return t.cast(PackedManifest, about)
