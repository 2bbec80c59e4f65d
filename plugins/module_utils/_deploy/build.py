# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build an artifact from a source, once: a folder, a tar file with its checksum, or a git repository and ref."""

from __future__ import annotations

import hashlib
import json
import os
import re
import typing as t

from .._core import clock, commands, locks, scratch
from .._core.errors import InputError
from .._target.layout import check_name
from . import artifacts, build_output, dependencies, dependency_needs, sources
from .deploy_types import About, Artifact, Manifest

#: What an artifact of MOBIUS must have to be worth deploying, and the folders that its build makes.
REQUIRED, BUILT = ("src/api/index.js", "client/build/index.html"), ("client/build",)
#: Variables that only a client's bundler reads. npm does not get them, so that builds that differ in these share their dependencies.
_CLIENT = ("REACT_APP_", "VITE_", "NEXT_PUBLIC_")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def release_id(version: str, digest: str) -> str:
    """The id of the release that a version of a source makes: the version and the source's first 8 digits."""
    return f"{check_name(version, 'version')[:48]}-{digest[:8]}"


class Settings(t.NamedTuple):
    """What a build depends on besides the source, and its command.

    :param npm_ci_args: further arguments of ``npm ci``. It always gets ``--include=dev``, too.
    :param environment: further variables of ``npm ci`` and the build command.
    """

    npm_ci_args: list[str]
    environment: dict[str, str]

    @classmethod
    def of(cls, npm_ci_args: list[str], environment: t.Mapping[str, object] | None) -> Settings:
        """The settings, normalized. :raises InputError: when a variable cannot be one of an environment."""
        found = {}
        for name, value in (environment or {}).items():
            text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            if not _NAME.fullmatch(str(name)) or "\0" in text:
                raise InputError(
                    f"mobius_build_environment {name!r}", "names of letters, digits and _, and values of text", "another", "Correct it"
                )
            found[str(name)] = text
        return cls([word for word in npm_ci_args if word != dependencies.INCLUDE], found)

    def npm(self, output: build_output.Output) -> dependencies.Npm:
        """How the build installs dependencies."""
        variables = {name: value for name, value in self.environment.items() if not name.startswith(_CLIENT)}
        return dependencies.Npm([dependencies.INCLUDE, *self.npm_ci_args], variables, output, setting="mobius_build_npm_ci_args")

    def digest(self, source: str) -> str:
        """What the release id is made of: the digest of the source, and of the settings unless they are empty."""
        if not self.npm_ci_args and not self.environment:
            return source
        return hashlib.sha256(f"{source} {json.dumps([self.npm_ci_args, self.environment], sort_keys=True)}".encode()).hexdigest()

    def manifest(self) -> Manifest:
        """What the artifact's manifest states about them: no values, because those may be private."""
        if not self.digest(""):
            return {}
        return {"build_settings": {"environment": sorted(self.environment), "sha256": self.digest("")}}


class Builder:
    """Builds artifacts into a store on the controller and finds the ones it has built before.

    :param store: folder of artifacts, and of the build's dependencies below ``deps/``.
    :param output: what shows the build while it runs.
    :param shared: paths in a release that all releases share; files of the source there are no part of it, and listed as ``hidden``.
    :param required: files that an artifact must have to be worth deploying.
    :param made: folders that the build command makes; what a source has there does not count for the release id.
    """

    def __init__(
        self,
        store: str,
        npm_ci_args: list[str],
        build_command: list[str],
        environment: t.Mapping[str, object] | None = None,
        output: build_output.Output | None = None,
        shared: t.Sequence[str] = (),
        required: t.Sequence[str] = REQUIRED,
        made: t.Sequence[str] = BUILT,
    ) -> None:
        self.store = store
        self.settings = Settings.of(npm_ci_args, environment)
        self.build_command = build_command
        self.shared, self.required, self.made = list(shared), list(required), list(made)
        self.output = output or build_output.Output(self.settings.environment)

    def make(self, source: str, version: str, ref: str, check_mode: bool) -> Artifact:
        """The artifact of a source: ``path, sha256, release_id, version, size, source, digest, built, hidden``.

        In check mode nothing is built; ``path`` is then ``None`` unless the artifact is there already. Otherwise what killed builds left
        behind is removed first.
        """
        source = sources.expand(source)
        kind = sources.kind_of(source, ref)
        if kind == "tarball":
            artifacts.verify_file(source, artifacts.read_sidecar(source))
            manifest = artifacts.read_manifest(source)
            if manifest:
                artifacts.require_safe(source)
                dependencies.require_lock(source, manifest["files"], {})
                return {**self._ready(source, manifest, version, source), "hidden": []}
        if not version:
            raise InputError("mobius_version", "the version of the release", "nothing", "Give one, such as -e mobius_version=1.4.0")
        if check_mode and kind == "directory":
            return self._look(source, version, (source, None), source)[0]
        if not check_mode:
            scratch.sweep()
            scratch.sweep_store(self.store)
        with scratch.scratch("mobius-ops-build-") as work:
            tree = os.path.join(work.path, "tree")
            self.output.phase("fetching the source")
            found, about = self._look(tree, version, sources.fetch(kind, source, ref, tree, self.shared), source)
            if check_mode or found["path"]:
                return found
            path = os.path.join(self.store, found["release_id"] + ".tar.gz")
            os.makedirs(self.store, exist_ok=True)
            with locks.locked(os.path.join(self.store, f".{found['release_id']}.lock")):  # of two that build the same, one builds
                built = not artifacts.stored(path)
                if built:
                    self._build(tree, work.lock)
                    self.output.phase("packing the artifact")
                manifest = self._pack(tree, path, {**about, **self.settings.manifest()}) if built else self._found(path)
                return {**self._ready(path, manifest, version, source), "built": built, "hidden": found["hidden"]}

    def _look(self, tree: str, version: str, fetched: tuple[str, str | None], source: str) -> tuple[Artifact, About]:
        """The artifact of a source that was fetched, with ``path: None`` when it is not in the store, and what its manifest says of it."""
        if not os.path.isfile(os.path.join(tree, "package.json")):
            raise InputError(
                f"release source '{source}'", "a Node application with a package.json", "none at its top", "Correct mobius_release_source"
            )
        for part in self._packages(tree):
            dependencies.require_lock_in(tree, part, source)
        sources.require_whole(tree, source, self.shared)
        told, committed = fetched
        digest = self.settings.digest(artifacts.source_digest(tree, [*self.shared, *self.made]))
        about: About = {"version": version, "source": told, "digest": digest, "committed": committed}
        path = os.path.join(self.store, release_id(version, digest) + ".tar.gz")
        hidden = artifacts.hidden(source if os.path.isdir(source) else tree, self.shared)
        if artifacts.stored(path):
            return {**self._ready(path, self._found(path), version, source), "hidden": hidden}, about
        return {
            "path": None,
            "sha256": None,
            "size": None,
            "release_id": release_id(version, digest),
            **about,
            "built": True,
            "hidden": hidden,
        }, about

    def _packages(self, tree: str) -> list[str]:
        """Folders of a source whose dependencies are installed: its top, and the client where it is built."""
        package = dependency_needs.read(os.path.join(tree, "package.json"))
        client = os.path.join(tree, "client")
        own = not package.get("workspaces") or dependency_needs.lock_path(client)  # a workspace is installed with the top
        return ["", "client"] if self.build_command and own and os.path.isfile(os.path.join(client, "package.json")) else [""]

    @staticmethod
    def _found(path: str) -> Manifest:
        """The manifest of an artifact that was built before, verified."""
        artifacts.verify_file(path, artifacts.read_sidecar(path))
        return artifacts.read_manifest(path) or {}

    def _ready(self, path: str, manifest: Manifest, version: str, source: str) -> Artifact:
        if version and version != manifest["version"]:
            raise InputError(
                f"artifact {path}",
                f"version {version} (mobius_version)",
                f"version {manifest['version']} in its manifest",
                "Correct mobius_version or mobius_release_source",
            )
        return {
            "path": os.path.abspath(path),
            "sha256": artifacts.read_sidecar(path),
            "size": os.path.getsize(path),
            "release_id": release_id(manifest["version"], manifest["digest"]),
            "version": manifest["version"],
            "source": manifest["source"] or source,
            "digest": manifest["digest"],
            "committed": manifest.get("committed"),
            "built": False,
        }

    def _build(self, tree: str, lock: int) -> None:
        """Run the build command in a tree with its dependencies; without a command neither is needed.

        :param lock: the descriptor that the command inherits, so that the tree is in use as long as it runs.
        """
        for part in self._packages(tree) if self.build_command else ():
            folder = os.path.join(tree, part)
            self.output.phase("installing the dependencies of " + (part or "the application"))
            dependencies.provide(folder, os.path.join(self.store, "deps"), self.settings.npm(self.output))
        if self.build_command:
            self.output.phase("running " + " ".join(self.build_command))
            commands.run_live(
                self.build_command,
                tree,
                "build",
                {**commands.environment(), **self.settings.environment},
                "Correct the source or mobius_build_command",
                self.output.line,
                self.output.hide,
                (lock,),
            )
        for needed in self.required:
            if not os.path.isfile(os.path.join(tree, needed)):
                raise InputError(
                    "build",
                    f"{needed} in the built application",
                    "none",
                    "Correct the source, mobius_build_command or mobius_required_files",
                )

    def _pack(self, tree: str, path: str, about: Manifest) -> Manifest:
        files = dict(artifacts.walk(tree, self.shared))
        artifacts.require_links(files, "build")
        manifest: Manifest = {
            "schema": artifacts.SCHEMA,
            "name": "mobius",
            "created": clock.iso(),
            **about,
            "files": {name: artifacts.describe(where) for name, where in files.items()},
        }
        artifacts.pack(path, artifacts.MANIFEST, manifest, files)
        return manifest
