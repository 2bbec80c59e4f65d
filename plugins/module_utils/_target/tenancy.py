# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whose a root is: one environment uses it, no other root lies around or inside it, and no other root has its units."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

from .._core import clock, fs, systemd
from .._core.errors import InputError, StateError
from . import records
from .layout import Layout

#: Folders by which a folder is known as a root.
_MARKS = ("state", "releases", "shared")


def kept(layout: Layout) -> str:
    """The file that keeps the environment."""
    return layout.path("state", "env.json")


def environment(layout: Layout) -> str | None:
    """The environment that a root was set up for; ``None`` before, or when an earlier version did.

    :raises IntegrityError: when its file is damaged.
    """
    found = records.read(kept(layout), records.TENANT)
    return found["env"] if found else None


def keep(layout: Layout, env: str) -> None:
    """Remember the environment of a root."""
    fs.write_json(kept(layout), {"env": env, "since": clock.iso()})


def require_env(layout: Layout, env: str) -> None:
    """:raises StateError: when a root is used by another environment."""
    mine = environment(layout)
    if env and mine not in (None, env):
        raise StateError(
            f"root {layout.root}",
            f"the environment that it was set up for ({mine})",
            env,
            f"Use the inventory of {mine}, or another mobius_root. If this root is to become {env}, remove {kept(layout)} and "
            "run mobius.ops.setup",
        )


def require_apart(layout: Layout) -> None:
    """:raises InputError: when a root lies inside of another one, or around it."""
    own = os.path.realpath(layout.root)
    other = next(filter(_is_root, _above(own)), None)
    if other is None and not _is_root(own):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            other = next((path for path in sorted(entry.path for entry in os.scandir(own)) if _is_root(path)), None)
    if other:
        raise InputError(f"root {layout.root}", "a folder apart from every other root", f"the root {other}", "Correct mobius_root")


def _above(path: str) -> t.Iterator[str]:
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        yield path


def _is_root(path: str) -> bool:
    return all(os.path.isdir(os.path.join(path, name)) for name in _MARKS)


def require_own_units(layout: Layout, names: t.Iterable[str]) -> None:
    """:raises StateError: when systemd knows a unit of one of these names that belongs to another root, or is not of this collection."""
    for name in names:
        text = systemd.read_unit(f"{name}.service")
        if text and not _names_root(text, layout.root):
            raise StateError(
                f"service {name}",
                "a name that nothing else on this host has",
                f"a unit {name}.service of something else",
                "Give another mobius_service, or remove that unit when nothing needs it",
            )


def _names_root(text: str, root: str) -> bool:
    """Whether a unit's text has a path to what a root has below it."""
    place = re.escape(systemd.literal(root))
    return re.search(rf"""(?<![^\s"=:!-]){place}/(shared|proxy|current|state)(?![\w.-])""", text) is not None
