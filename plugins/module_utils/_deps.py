# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Node dependencies: installed once per lock file, shared by every release (or build) that has the same lock file."""
from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _commands, _files

LOCK_FILE = "package-lock.json"
#: What ``npm ci`` reads.
NAMES = ("package.json", LOCK_FILE, ".npmrc")
#: It states its errors whatever a user's .npmrc says, and asks the registry for packages alone.
_NPM = {"npm_config_loglevel": "error", "npm_config_audit": "false", "npm_config_fund": "false"}


def lock_hash(folder: str, npm_ci_args: list[str]) -> str | None:
    """What the installed dependencies of a folder depend on, or ``None`` when it has no lock file."""
    path = os.path.join(folder, LOCK_FILE)
    if not os.path.isfile(path):
        return None
    text = _files.sha256_file(path) + "\0" + "\0".join(npm_ci_args)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def install(source: str, store: str, npm_ci_args: list[str], fill: t.Callable[[str, str], None] | None = None) -> tuple[str | None, bool]:
    """The folder below *store* with the dependencies of *source*, installed with ``npm ci`` when it is not there.

    :param fill: puts ``node_modules`` into a folder for a lock hash, instead of ``npm ci``.
    :returns: the path of ``node_modules`` (``None`` without a lock file), and whether it was installed now.
    """
    key = lock_hash(source, npm_ci_args)
    if key is None:
        return None, False
    home = os.path.join(store, key)
    modules = os.path.join(home, "node_modules")
    os.makedirs(store, exist_ok=True)
    with _files.locked(os.path.join(store, f".{key}.lock")):
        if os.path.isdir(modules):
            return modules, False
        work = os.path.join(store, f".installing-{key}")
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        try:
            _fill(source, work, key, npm_ci_args, fill)
            os.rename(work, home)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)  # it may have filled the disk
            raise
    return modules, True


def _fill(source: str, work: str, key: str, npm_ci_args: list[str], fill: t.Callable[[str, str], None] | None) -> None:
    for name in NAMES:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(os.path.join(source, name), work)
    if fill:
        fill(work, key)
    else:
        _commands.run(["npm", "ci", *npm_ci_args], work, f"dependencies {key}", {**os.environ, **_NPM})
    os.makedirs(os.path.join(work, "node_modules"), exist_ok=True)


def unused(store: str, releases: list[str]) -> list[str]:
    """Folders below *store* that none of the given release folders links to."""
    if not os.path.isdir(store):
        return []
    used = {os.path.basename(os.path.dirname(os.path.realpath(os.path.join(release, "node_modules")))) for release in releases}
    return [os.path.join(store, name) for name in sorted(os.listdir(store))
            if not name.startswith(".") and name not in used]
