# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Python library requests. It is loaded when something is asked for the first time: that takes longer than starting Python."""

from __future__ import annotations

import functools
import importlib
import typing as t

from ..._core.errors import StateError


class Library(t.NamedTuple):
    """What sends requests: ``requests``, and ``urllib3``, of which it is made."""

    requests: t.Any
    urllib3: t.Any


@functools.cache
def _found() -> Library | None:
    try:
        return Library(*map(importlib.import_module, ("requests", "urllib3")))
    except ImportError:
        return None


def required() -> Library:
    """The library. :raises StateError: when the target lacks it."""
    found = _found()
    if not found:
        raise StateError(
            "health checks",
            "the Python library requests on the target",
            "none",
            "Install the package python3-requests there (mobius.ops.setup does)",
        )
    return found
