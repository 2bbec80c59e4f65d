# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where everything lies below the application's root on a target."""

from __future__ import annotations

import os
import re
import stat

from .._core.errors import InputError, StateError

COMPONENTS = ("config", "database", "uploads", "generated", "logs")
#: Folder of each component below ``shared/``.
COMPONENT_DIRS = {"config": "config", "database": "data", "uploads": "uploads", "generated": "out", "logs": "logs"}
#: How names begin of what a restore puts beside the components, or into one that is a mount point: work, and what it kept.
WORK, KEPT = ".restore-", ".kept-"
#: What a clean-up puts into a component on a file system of its own.
QUARANTINE = ".quarantine"
_WORK_NAME = re.compile(rf"({re.escape(WORK)}|{re.escape(KEPT)})\d{{8}}_\d{{6}}-[0-9a-f]+|{re.escape(QUARANTINE)}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_work(name: str, status: os.stat_result) -> bool:
    """Whether something is a folder of a restore or a clean-up: by its whole name, and by its owner, for an upload may have any name."""
    return bool(_WORK_NAME.fullmatch(name)) and stat.S_ISDIR(status.st_mode) and status.st_uid in (0, os.geteuid())


def check_name(value: str, what: str) -> str:
    """A word that is safe as a part of a file name. :raises InputError: when it is not."""
    if not _NAME.fullmatch(value or ""):
        raise InputError(
            f"{what} '{value}'",
            "1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit",
            "something else",
            f"Give another {what}",
        )
    return value


def expand_components(names: list[str]) -> list[str]:
    """The chosen components in their fixed order; ``all`` stands for every one.

    :raises InputError: when a name is unknown or none is given.
    """
    unknown = [name for name in names if name not in COMPONENTS + ("all",)]
    if unknown or not names:
        raise InputError(
            "components",
            "some of all, " + ", ".join(COMPONENTS),
            ", ".join(repr(name) for name in unknown) or "an empty list",
            "Correct the list",
        )
    return [name for name in COMPONENTS if name in names or "all" in names]


class Layout:
    """Paths below one root folder (design: "On the target"); it reads and writes nothing."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def path(self, *parts: str) -> str:
        """A path below the root."""
        return os.path.join(self.root, *parts)

    def __getattr__(self, name: str) -> str:
        if name in (
            "releases",
            "current",
            "slots",
            "shared",
            "deps",
            "backups",
            "monitor_logs",
            "incidents",
            "reports",
            "state",
            "app",
            "quarantine",
        ):
            return self.path(name)
        raise AttributeError(name)

    @property
    def history(self) -> str:
        """The file with one JSON line an event."""
        return self.path("state", "history.jsonl")

    @property
    def env_file(self) -> str:
        """The application's ``.env``."""
        return self.path("shared", "config", ".env")

    def component(self, name: str) -> str:
        """The folder of a component."""
        return self.path("shared", COMPONENT_DIRS[name])

    def release(self, release_id: str) -> str:
        """The folder of a release."""
        return self.path("releases", check_name(release_id, "release id"))

    def folders(self) -> list[str]:
        """Every folder that a set-up host has, parents first."""
        top = ["app", "releases", "slots", "shared", "deps", "backups", "monitor_logs", "incidents", "reports", "lib", "state"]
        return [self.root] + [self.path(name) for name in top] + [self.component(name) for name in COMPONENTS]

    def require(self) -> None:
        """:raises StateError: when the host was not set up."""
        if not os.path.isdir(self.state):
            raise StateError(
                f"root {self.root}",
                "a host that was set up",
                "no folder " + self.state,
                "Run the playbook mobius.ops.setup first, or correct mobius_root",
            )
