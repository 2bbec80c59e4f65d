# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names that nothing reads: of settings, and of fields in lists of settings."""

from __future__ import annotations

import difflib
import glob
import os
import re
import typing as t

PREFIX = "mobius_"
_NAME = re.compile(r"\bmobius_\w+")
#: Where the collection's YAML names settings, results that a workflow passes on, and variables of its own.
_PLACES = ("playbooks/*.yml", "roles/*/tasks/*.yml", "roles/*/vars/*.yml", "roles/*/defaults/*.yml", "roles/*/meta/argument_specs.yml")


def known(collection: str) -> set[str]:
    """Every name with the prefix that the collection itself has somewhere."""
    found: set[str] = set()
    for place in _PLACES:
        for path in glob.glob(os.path.join(glob.escape(collection), place)):
            with open(path, encoding="utf-8") as stream:
                found.update(_NAME.findall(stream.read()))
    return found


def unknown(given: t.Iterable[str], collection: str) -> list[str]:
    """A sentence for each variable that has the prefix and that the collection does not have."""
    strange = sorted(name for name in given if name.startswith(PREFIX))
    names = known(collection) if strange else set()
    return [
        f"{name}: expected a setting of mobius.ops, found none of this name{_meant(name, names)}. Correct it, or, when it is a "
        f"variable of your own, give it a name that does not begin with {PREFIX}."
        for name in strange
        if name not in names
    ]


def fields(setting: str, entries: t.Any, allowed: t.Collection[str]) -> list[str]:
    """A sentence for each field of a list's dictionaries that is not one of *allowed*. No value is shown."""
    found = []
    for number, entry in enumerate(entries if isinstance(entries, (list, tuple)) else [], 1):
        for field in sorted(set(map(str, entry)) - set(allowed)) if isinstance(entry, dict) else []:
            found.append(
                f"{setting}, entry {number}: expected the fields {', '.join(sorted(allowed))}, "
                f"found {field}{_meant(field, allowed)}. Correct the name."
            )
    return found


def _meant(name: str, names: t.Collection[str]) -> str:
    swapped = [one for one in sorted(names) if sorted(one) == sorted(name)]  # two letters in the wrong order are the commonest mistake
    close = swapped or difflib.get_close_matches(name, names, 1, 0.75)
    return f" (did you mean {close[0]}?)" if close else ""
