# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Node dependencies: installed once per key, shared by every release (or build) with the same key; or in the application's own tree.

The key is made of all that the installation depends on: the files that npm reads, the arguments and Node.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import typing as t

from .._core import commands, documents, immutable, locks
from .._core.errors import InputError, OpsError
from .._target import node_runtime
from . import build_output, dependency_needs

LOCK_FILE = "package-lock.json"
#: How the names of folders begin that are being removed.
_DOOMED = ".removing-"
#: Lock files of other package managers, which ``npm ci`` does not read.
FOREIGN = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "Yarn", "bun.lock": "Bun", "bun.lockb": "Bun"}
#: What makes a package.json need a lock file.
_NEEDS = ("dependencies", "devDependencies", "optionalDependencies", "workspaces")
#: The arguments by which an installation for a build and one for running the application differ.
INCLUDE, OMIT = "--include=dev", "--omit=dev"
#: What ``npm ci`` reads.
NAMES = ("package.json", *dependency_needs.LOCK_FILES, ".npmrc")
#: It states its errors whatever a user's .npmrc says, and asks the registry for packages alone.
_NPM = {"npm_config_loglevel": "error", "npm_config_audit": "false", "npm_config_fund": "false"}


def lock_hash(folder: str, npm_ci_args: list[str], environment: dict[str, str] | None = None, runtime: str | None = None) -> str | None:
    """What the installed dependencies of a folder depend on, or ``None`` when it has no lock file.

    :param runtime: the Node that they are for (``_target.node_runtime.current``), this host's by default.
    """
    if not dependency_needs.lock_path(folder):
        return None
    paths = {name: os.path.join(folder, name) for name in NAMES}
    read = {name: dependency_needs.installed(path) for name, path in paths.items() if os.path.isfile(path)}
    facts = [read, npm_ci_args, environment or {}, runtime or node_runtime.current()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8")).hexdigest()[:16]


def require_lock(source: str, names: t.Collection[str], package: t.Mapping[str, object], part: str = "") -> None:
    """Refuse dependencies that ``npm ci`` cannot install.

    :param source: how the source is called in the message.
    :param names: the files in the folder of the package.
    :param package: its package.json; may be empty when it is not known.
    :param part: the folder of the package in the source, empty for its top.
    :raises InputError: when there is no package-lock.json, and either dependencies or another package manager's lock file.
    """
    foreign = sorted(set(names) & set(FOREIGN))
    if set(dependency_needs.LOCK_FILES) & set(names) or not (foreign or any(package.get(key) for key in _NEEDS)):
        return
    path = os.path.join(part, LOCK_FILE)
    found = f"{foreign[0]} of {FOREIGN[foreign[0]]}, which npm ci does not read" if foreign else "none, and package.json has dependencies"
    where = f" in {part}" if part else ""
    raise InputError(
        f"release source '{source}'", path, found, f"Run npm install --package-lock-only{where}, try the service with it, and commit {path}"
    )


def require_lock_in(tree: str, part: str, source: str) -> None:
    """The same for a folder of a source, when it has a package.json.

    :raises InputError: also when its package.json cannot be read.
    """
    folder = os.path.join(tree, part)
    path = os.path.join(folder, "package.json")
    if not os.path.isfile(path):
        return
    try:
        with open(path, encoding="utf-8") as stream:
            package = documents.parse(stream.read())
    except (OSError, ValueError) as error:
        raise InputError(f"release source '{source}'", f"JSON in {os.path.join(part, 'package.json')}", str(error), "Correct it") from error
    require_lock(source, os.listdir(folder), package if isinstance(package, dict) else {}, part)


class Npm(t.NamedTuple):
    """How ``npm ci`` installs dependencies.

    :param environment: further variables of it.
    :param output: what shows its lines while it runs.
    :param whole: the arguments of an installation that may be in the same store and has the development dependencies too. It is copied
        and they are removed from the copy, when it differs in nothing else.
    :param setting: the setting that has the arguments.
    """

    args: list[str]
    environment: dict[str, str] | None = None
    output: build_output.Output = build_output.Output()
    whole: list[str] | None = None
    setting: str = "mobius_npm_ci_args"

    def fill(self, work: str, store: str, lock: int) -> None:
        """Put ``node_modules`` into a folder with the files that npm reads.

        :param lock: the descriptor that npm inherits, so that one that outlives this process still has the folder for itself.
        """
        whole = self._whole_modules(work, store)
        if whole:
            self.output.phase("copying the installed dependencies without those for development")
            with contextlib.suppress(OpsError):
                shutil.copytree(whole, os.path.join(work, "node_modules"), symlinks=True)
                self.run("prune", work, lock)
                return
            shutil.rmtree(os.path.join(work, "node_modules"))
        self.run("ci", work, lock)

    def run(self, command: str, work: str, lock: int) -> None:
        """Run one command of npm in a folder."""
        env = {**commands.environment(), **_NPM, **(self.environment or {})}
        try:
            commands.run_live(
                ["npm", command, *self.args],
                work,
                f"dependencies {os.path.basename(work).rpartition('-')[2]}",
                env,
                commands.AGAIN,
                self.output.line,
                self.output.hide,
                (lock,),
            )
        except OpsError as error:
            remedy = error.todo.replace("mobius_npm_ci_args", self.setting)
            raise type(error)(error.subject, error.expected, error.found, remedy) from error

    def _whole_modules(self, work: str, store: str) -> str | None:
        """The installation of the same lock file that has the development dependencies too; ``None`` when there is none."""
        if self.whole is None or self.environment or OMIT not in self.args:
            return None
        if [word for word in self.args if word != OMIT] != [word for word in self.whole if word != INCLUDE]:
            return None
        modules = os.path.join(store, lock_hash(work, self.whole) or "", "node_modules")
        return modules if os.path.isdir(modules) and _lock_version(work) >= 2 else None


def _lock_version(folder: str) -> int:
    """The version of a lock file's format; 0 when it cannot be told. Only 2 and newer tell which dependencies are for development."""
    try:
        return int(dependency_needs.read(dependency_needs.lock_path(folder) or "")["lockfileVersion"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return 0


def provide(folder: str, store: str, npm: Npm, fill: t.Callable[[str, str], None] | None = None, runtime: str | None = None) -> None:
    """Put ``node_modules`` into an unpacked application: a link to the shared installation, or its own real folder.

    :param fill, runtime: as of :func:`install`.
    :raises StateError: when a link in it leads to nothing.
    """
    if not fill and dependency_needs.of_tree(folder, npm.args) and dependency_needs.lock_path(folder):
        os.makedirs(store, exist_ok=True)
        with locks.locked(os.path.join(store, ".tree.lock")) as lock:
            npm.run("ci", folder, lock)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, node_runtime.RECORD))  # it is ours to write
        _finish(folder, node_runtime.current())
        return
    modules, _new = install(folder, store, npm, fill, runtime)
    own = os.path.join(folder, "node_modules")
    if modules and dependency_needs.beside(folder):
        shutil.copytree(modules, own, symlinks=True)
        shutil.copy2(os.path.join(os.path.dirname(modules), node_runtime.RECORD), folder)
    elif modules:
        os.symlink(modules, own)


def _finish(home: str, runtime: str) -> None:
    """Check an installation, and record what it was made for unless that is known."""
    os.makedirs(os.path.join(home, "node_modules"), exist_ok=True)
    dependency_needs.require_links(home)
    if not os.path.exists(os.path.join(home, node_runtime.RECORD)):
        node_runtime.note(home, node_runtime.describe(os.path.join(home, "node_modules"), runtime))


def install(
    source: str, store: str, npm: Npm | list[str], fill: t.Callable[[str, str], None] | None = None, runtime: str | None = None
) -> tuple[str | None, bool]:
    """The folder below *store* with the dependencies of *source*, installed when it is not there.

    :param npm: how they are installed, or only the arguments of ``npm ci``.
    :param fill: puts ``node_modules`` into a folder for a lock hash, instead of npm.
    :param runtime: the Node that *fill* has them for, this host's by default.
    :returns: the path of ``node_modules`` (``None`` without a lock file), and whether it was installed now.
    """
    npm = npm if isinstance(npm, Npm) else Npm(npm)
    runtime = runtime or (node_runtime.current() if dependency_needs.lock_path(source) else None)
    key = lock_hash(source, npm.args, npm.environment, runtime)
    if key is None or runtime is None:
        return None, False
    home = os.path.join(store, key)
    modules = os.path.join(home, "node_modules")
    os.makedirs(store, exist_ok=True)
    with locks.locked(os.path.join(store, f".{key}.lock")) as lock:
        if os.path.isdir(modules):
            return modules, False
        work = os.path.join(store, f".installing-{key}")
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        try:
            for name in NAMES:
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy2(os.path.join(source, name), work)
            fill(work, key) if fill else npm.fill(work, store, lock)
            _finish(work, runtime)
            os.rename(work, home)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)  # it may have filled the disk
            raise
    return modules, True


def unused(store: str, releases: list[str]) -> list[str]:
    """Folders below *store* that none of the given release folders links to."""
    if not os.path.isdir(store):
        return []
    used = {os.path.basename(os.path.dirname(os.path.realpath(os.path.join(release, "node_modules")))) for release in releases}
    return [os.path.join(store, name) for name in sorted(os.listdir(store)) if not name.startswith(".") and name not in used]


def remove_unused(store: str, releases: list[str]) -> list[str]:
    """Remove the folders that no release links to, and what earlier calls have left; a sentence for each of which something stays.

    A folder loses its name first, so that no release is ever given half of one.
    """
    tried = unused(store, releases)
    for path in tried:
        with contextlib.suppress(OSError):
            os.rename(path, os.path.join(store, f"{_DOOMED}{os.path.basename(path)}-{time.time_ns()}"))
    names = sorted(os.listdir(store)) if os.path.isdir(store) else []
    left = immutable.remove(os.path.join(store, name) for name in names if name.startswith(_DOOMED))
    return [*filter(None, map(immutable.stays, tried)), *left]
