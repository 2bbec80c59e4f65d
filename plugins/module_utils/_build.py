# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build an artifact from a source, once: a folder, a tar file with its checksum, or a git repository and ref."""
from __future__ import annotations

import os
import shutil
import tempfile
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _artifact, _clock, _commands, _deps, _files
from ansible_collections.mobius.ops.plugins.module_utils._errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._layout import check_name

#: What an artifact must have to be worth deploying.
REQUIRED = ("src/api/index.js", "client/build/index.html")
_GIT = ("git@", "git://", "ssh://", "http://", "https://", "git+", "file://")


def kind_of(source: str) -> str:
    """``git``, ``directory`` or ``tarball``. :raises InputError: when the source is none of them, or tells a password."""
    if _commands.passwords(source):
        raise InputError(f"release source '{_commands.without_passwords(source)}'", "a URL without user, password and token", "one with",
                         "Use a git credential helper, GIT_ASKPASS or an SSH key instead")
    if source.startswith(_GIT):
        return "git"
    if os.path.isdir(source):
        return "git" if source.endswith(".git") else "directory"
    if source.endswith((".tar.gz", ".tgz")):
        return "tarball"
    raise InputError(f"release source '{source}'", "a folder, a .tar.gz or .tgz file with its .sha256, or a git URL",
                     "none of them on the controller", "Correct mobius_release_source")


def git_environment() -> dict[str, str]:
    """The environment of git: it fails where it would ask a person, who is not there."""
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}  # the cause of a failure is found by its English words
    if not {"GIT_SSH", "GIT_SSH_COMMAND"} & set(env) and _commands.capture(["git", "config", "--get", "core.sshCommand"]).returncode:
        env["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes"
    return env


def release_id(version: str, digest: str) -> str:
    """The id of the release that a version of a source makes: the version and the source's first 8 digits."""
    return f"{check_name(version, 'version')[:48]}-{digest[:8]}"


class Builder:
    """Builds artifacts into a store on the controller and finds the ones it has built before.

    :param store: folder of artifacts, and of the build's dependencies below ``deps/``.
    """

    def __init__(self, store: str, npm_ci_args: list[str], build_command: list[str]) -> None:
        self.store = store
        self.npm_ci_args = npm_ci_args
        self.build_command = build_command

    def make(self, source: str, version: str, ref: str, check_mode: bool) -> dict[str, t.Any]:
        """The artifact of a source: ``path, sha256, release_id, version, size, source, digest, built``.

        In check mode nothing is built; ``path`` is then ``None`` unless the artifact is there already.
        """
        kind = kind_of(source)
        if kind == "tarball":
            _artifact.verify_file(source, _artifact.read_sidecar(source))
            manifest = _artifact.read_manifest(source)
            if manifest:
                return self._ready(source, manifest, version, source)
        if not version:
            raise InputError("mobius_version", "the version of the release", "nothing", "Give one, such as -e mobius_version=1.4.0")
        with tempfile.TemporaryDirectory(prefix="mobius-build-") as work:
            tree = os.path.join(work, "tree")
            told, committed = self._fetch(kind, source, ref, tree)
            if not os.path.isfile(os.path.join(tree, "package.json")):
                raise InputError(f"release source '{source}'", "a Node application with a package.json", "none at its top",
                                 "Correct mobius_release_source")
            digest = _artifact.source_digest(tree)
            about = {"version": version, "source": told, "digest": digest, "committed": committed}
            path = os.path.join(self.store, release_id(version, digest) + ".tar.gz")
            if check_mode and not _artifact.stored(path):
                return {"path": None, "sha256": None, "size": None, "release_id": release_id(version, digest), **about, "built": True}
            if _artifact.stored(path):
                return self._ready(path, self._found(path), version, source)
            os.makedirs(self.store, exist_ok=True)
            with _files.locked(os.path.join(self.store, f".{release_id(version, digest)}.lock")):  # of two that build the same, one builds
                built = not _artifact.stored(path)
                if built:
                    self._build(tree)
                manifest = self._pack(tree, path, about) if built else self._found(path)
                return {**self._ready(path, manifest, version, source), "built": built}

    @staticmethod
    def _found(path: str) -> dict[str, t.Any]:
        """The manifest of an artifact that was built before, verified."""
        _artifact.verify_file(path, _artifact.read_sidecar(path))
        return _artifact.read_manifest(path)

    def _ready(self, path: str, manifest: dict[str, t.Any], version: str, source: str) -> dict[str, t.Any]:
        if version and version != manifest["version"]:
            raise InputError(f"artifact {path}", f"version {version} (mobius_version)", f"version {manifest['version']} in its manifest",
                             "Correct mobius_version or mobius_release_source")
        return {"path": os.path.abspath(path), "sha256": _artifact.read_sidecar(path), "size": os.path.getsize(path),
                "release_id": release_id(manifest["version"], manifest["digest"]), "version": manifest["version"],
                "source": manifest["source"] or source, "digest": manifest["digest"], "committed": manifest.get("committed"),
                "built": False}

    def _fetch(self, kind: str, source: str, ref: str, tree: str) -> tuple[str, str | None]:
        """Put the source into an empty folder; what it was, in words, and when it was committed, where git tells."""
        if kind == "git":
            if ref.startswith("-"):
                raise InputError("mobius_release_ref", "a branch, tag or commit", repr(ref), "Correct it")
            url = source[4:] if source.startswith("git+") else source
            env = git_environment()
            _commands.run(["git", "clone", "--quiet", "--", url, tree], "/", "release source", env)
            branch = f"refs/remotes/origin/{ref}"
            branches = _commands.run(["git", "for-each-ref", "--format=%(refname)", "refs/remotes"], tree, "release source", env).split()
            wanted = branch if branch in branches else ref or "HEAD"
            _commands.run(["git", "checkout", "--quiet", "--detach", wanted, "--"], tree, "release source", env)
            commit = _commands.run(["git", "rev-parse", "HEAD"], tree, "release source", env).strip()
            seconds = _commands.run(["git", "show", "--no-patch", "--format=%ct", "HEAD"], tree, "release source", env)
            return f"{source}@{commit}", _clock.from_epoch(int(seconds))
        os.mkdir(tree)
        if kind == "tarball":
            _artifact.unpack(source, tree)
        else:
            for name, path in _artifact.walk(source):
                os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
                shutil.copy2(path, os.path.join(tree, name), follow_symlinks=False)
        return source, None

    def _build(self, tree: str) -> None:
        for part in (".", "client"):
            folder = os.path.join(tree, part)
            modules, _new = _deps.install(folder, os.path.join(self.store, "deps"), self.npm_ci_args)
            if modules:
                os.symlink(modules, os.path.join(folder, "node_modules"))
        if self.build_command:
            _commands.run(self.build_command, tree, "build", todo="Correct the source or mobius_build_command")
        for needed in REQUIRED:
            if not os.path.isfile(os.path.join(tree, needed)):
                raise InputError("build", f"{needed} in the built application", "none", "Correct the source or mobius_build_command")

    @staticmethod
    def _pack(tree: str, path: str, about: dict[str, t.Any]) -> dict[str, t.Any]:
        files = dict(_artifact.walk(tree))
        manifest = {
            "schema": _artifact.SCHEMA, "name": "mobius", "created": _clock.iso(), **about,
            "files": {name: _artifact.describe(where) for name, where in files.items()},
        }
        _artifact.pack(path, _artifact.MANIFEST, manifest, files)
        return manifest
