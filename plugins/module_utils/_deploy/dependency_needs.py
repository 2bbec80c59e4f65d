# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an application's dependencies need beside the lock file: the unpacked tree, or a ``node_modules`` of its own."""

from __future__ import annotations

import os
import typing as t

from .._core import documents, fs
from .._core.errors import StateError

#: Files with locked versions, in the order in which npm looks for them.
LOCK_FILES = ("npm-shrinkwrap.json", "package-lock.json")
#: Fields of package.json that change with a release, and not what is installed without the application. Others may count.
_UNREAD = (
    "version",
    "description",
    "keywords",
    "homepage",
    "bugs",
    "license",
    "author",
    "contributors",
    "funding",
    "repository",
    "main",
    "files",
    "scripts",
)
#: Scripts of the application itself that ``npm ci`` runs.
_SCRIPTS = ("preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare")
#: Packages whose install script reads the application's files.
_READING = ("@prisma/client", "patch-package")
#: Packages that look for the application beside the real ``node_modules`` that they are in.
_BESIDE = ("module-alias", "app-root-path", "app-root-dir", "app-module-path", "root-require")


def lock_path(folder: str) -> str | None:
    """The lock file that npm reads, or ``None``."""
    return next((path for path in (os.path.join(folder, name) for name in LOCK_FILES) if os.path.isfile(path)), None)


def read(path: str) -> t.Mapping[str, t.Any]:
    """A JSON object from a file; empty when there is none, because npm itself reports what is wrong with it."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = documents.parse(stream.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def installed(path: str) -> t.Any:
    """What ``npm ci`` reads of a file, for the key of an installation: of JSON without the release's own version and words about it.

    A new version alone changes package.json and the lock file, and installs the same.
    """
    found = read(path)
    if not found:
        return fs.sha256_file(path)
    root = found.get("packages", {}).get("", {}) if isinstance(found.get("packages"), dict) else {}
    parts = [found, root if isinstance(root, dict) else {}]
    kept = [{name: value for name, value in part.items() if name not in (*_UNREAD, "packages")} for part in parts]
    others = {name: value for name, value in found["packages"].items() if name} if parts[1] else found.get("packages")
    return [*kept, others]


def _entries(lock: t.Mapping[str, t.Any]) -> list[tuple[str, t.Mapping[str, t.Any]]]:
    """Name and facts of each package in a lock file of any version."""
    found: list[tuple[str, t.Mapping[str, t.Any]]] = []
    left = [lock.get(kind) for kind in ("packages", "dependencies")]
    while left:
        group = left.pop()
        for path, facts in group.items() if isinstance(group, dict) else ():
            if isinstance(facts, dict) and path:
                found.append((path.rpartition("node_modules/")[2], facts))
                left.append(facts.get("dependencies") if "requires" in facts or "version" in facts else None)
    return found


def of_tree(folder: str, args: t.Sequence[str] = (), names: t.Collection[str] | None = None) -> str:
    """Why ``npm ci`` needs the whole application, as a noun phrase; empty when the lock file is enough.

    :param args: the arguments of ``npm ci``.
    :param names: the application's files, where only those that npm reads were unpacked.
    """
    package, entries = read(os.path.join(folder, "package.json")), _entries(read(lock_path(folder) or ""))
    if package.get("workspaces"):
        return "workspaces in package.json"
    for name, facts in entries:
        if facts.get("link") is True or any(str(facts.get(key, "")).startswith("file:") for key in ("resolved", "version")):
            return f"{name} from a folder or file of the source"
    patches = os.path.isdir(os.path.join(folder, "patches")) if names is None else any(name.startswith("patches/") for name in names)
    if patches:
        return "patches/"
    if "--ignore-scripts" in args:
        return ""
    scripts = package.get("scripts")
    script = next((name for name in _SCRIPTS if isinstance(scripts, dict) and name in scripts), None)
    if script:
        return f"the script {script} of package.json"
    if os.path.isfile(os.path.join(folder, "binding.gyp")) or "binding.gyp" in (names or ()):
        return "binding.gyp"
    return next((name for name, _facts in entries if name in _READING), "")


def beside(folder: str) -> bool:
    """Whether a package looks for the application beside its ``node_modules``, so that it must not be behind a link."""
    return any(name in _BESIDE for name, _facts in _entries(read(lock_path(folder) or "")))


def require_links(top: str) -> None:
    """Refuse links in installed dependencies that lead to nothing.

    :param top: the folder that ``node_modules`` is in.
    :raises StateError: for the first such link.
    """
    for folder, names, files in os.walk(os.path.join(top, "node_modules")):
        for name in sorted(names + files):
            path = os.path.join(folder, name)
            if os.path.islink(path) and not os.path.exists(path):
                raise StateError(
                    f"dependency link {os.path.relpath(path, top)}",
                    "a target that exists",
                    f"none at {os.readlink(path)}",
                    "Commit the missing folder, or run npm install in the source and commit the lock file",
                )
