# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where an application tried to write outside of its shared folders, as results of tasks tell it. No Ansible in here."""

from __future__ import annotations

import typing as t

#: Sentences that a message has at most.
_MOST = 3


class Attempt(t.TypedDict):
    """What the application tried to write in one folder, in a sentence."""

    message: str


class Watched(t.TypedDict, total=False):
    """The result of a task that looked for such attempts."""

    write_attempts: list[Attempt] | None


def sentences(*results: Watched) -> list[str]:
    """What some results tell, a sentence each, none twice."""
    return list(dict.fromkeys(one["message"] for result in results for one in result.get("write_attempts") or ()))


def warning(found: list[str], failure: str | None) -> str:
    """A warning for a message, of what its failure has not told already; empty when there is nothing to warn of."""
    new = [text for text in found if text not in (failure or "")]
    return f"WARNING: {'. '.join(new[:_MOST])}." if new else ""
