# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A set-up root with state in every component, and the backup modules run on it as processes."""

from __future__ import annotations

import os
import random
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from support import trees
from support.processes import Ended, Runner

#: Long at rest: a file that was written just now is waited for.
REST = 1_700_000_000_123_456_789


class State:
    """The root of an application, on this machine."""

    def __init__(self, root: str, runner: Runner, env: str = "production", **how: t.Any) -> None:
        self.root, self.env, self.runner, self.how = root, env, runner, how
        self.layout = Layout(root)
        for folder in self.layout.folders():
            os.makedirs(folder, exist_ok=True)

    @property
    def shared(self) -> str:
        """The folder of the components."""
        return self.layout.shared

    @property
    def backups(self) -> str:
        """The folder of the archives."""
        return self.layout.backups

    def path(self, name: str) -> str:
        """The place on disk of ``<component>/<path>``."""
        component, _slash, rest = name.partition("/")
        return os.path.join(self.layout.component(component), rest) if rest else self.layout.component(component)

    def put(self, name: str, content: bytes, mode: int = 0o644, mtime_ns: int = REST) -> str:
        """Write a file of a component."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(content)
        os.chmod(path, mode)
        os.utime(path, ns=(mtime_ns, mtime_ns))
        return path

    def fill(self, chance: random.Random, files: int = 24, size: int = 40_000) -> None:
        """Put media, text, small files, folders and links into all components."""
        self.put("config/.env", b"MOBIUS_API_KEYS=sekret-of-the-test\n", 0o600)
        self.put("database/projects.json", b'{"projects": [%d]}\n' % chance.randrange(10**6))
        for number in range(files):
            kind = number % 4
            if kind == 0:
                self.put(f"uploads/game {number % 3}/board{number}.png", chance.randbytes(chance.randrange(size * 2)))
            elif kind == 1:
                self.put(f"generated/clip{number}.mp4", chance.randbytes(size))
            elif kind == 2:
                self.put(f"logs/app.{number}.log", b"INFO a request of %d ms\n" % chance.randrange(999) * (size // 24))
            else:
                self.put(f"uploads/notes/{number}.txt", b"%d" % chance.randrange(10**9), 0o640)
        os.makedirs(self.path("uploads/empty"), exist_ok=True)
        if not os.path.lexists(self.path("uploads/link")):
            os.symlink("notes/3.txt", self.path("uploads/link"))

    def settle(self) -> None:
        """Give every folder of the components, and every link, a time that a restore brings back."""
        for path in trees.walk(self.shared):
            if os.path.islink(path) or os.path.isdir(path):
                os.utime(path, ns=(REST, REST), follow_symlinks=False)

    def options(self, **options: t.Any) -> dict[str, t.Any]:
        """Options that every module of the family knows."""
        return {"root": self.root, "env": self.env, **options}

    def backup(self, **options: t.Any) -> Ended:
        """Run the module backup."""
        return self.runner.run("backup", self.options(**options), **self.how)

    def restore(self, archive: str, check: bool = False, **options: t.Any) -> Ended:
        """Run the module backup_restore."""
        return self.runner.run("backup_restore", self.options(archive=archive, **options), check, **self.how)

    def info(self, **options: t.Any) -> list[dict[str, t.Any]]:
        """What backup_info lists; it never fails."""
        return self.runner.run("backup_info", {"root": self.root, **options}, **self.how).good()["backups"]

    def facts(self) -> dict[str, dict[str, t.Any]]:
        """All that can be told of the components."""
        return trees.facts(self.shared)

    def debris(self) -> list[str]:
        """Names in the folders of backups and components that nobody but a run that was cut short leaves.

        An archive that some file could not be taken into is kept aside, the newest one.
        """
        left = [name for name in os.listdir(self.shared) if name.startswith(".")]
        names = set(os.listdir(self.backups))
        names -= set(sorted(name for name in names if name.endswith(".zip.incomplete"))[-1:])
        archives = {name for name in names if name.startswith("dhash_") and name.endswith(".zip")}
        return sorted(left + list(names - archives - {name + ".sha256" for name in archives}))
