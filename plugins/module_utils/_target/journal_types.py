# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journals of a restore and of a switch (``_target.records``), for mypy: at run time each of them is a dictionary."""

from __future__ import annotations

import typing as t

from .._core.kinds import Attributes


class Swap(t.TypedDict):
    """Two folders that a restore exchanges."""

    component: str
    target: str
    work: str
    mounted: bool
    existed: bool
    old: list[str]
    new: list[str]
    before: Attributes


class _Restore(t.TypedDict):
    archive: str
    env: str
    components: list[str]
    service: str | None
    wanted: bool


class RestoreFacts(_Restore, total=False):
    """What the journal of a restore says."""

    previous: str | None
    target: str | None
    sign_key: str | None
    made: str | None
    keep: bool
    external: t.Any
    safety: dict[str, object]
    since: int
    swaps: list[Swap]


#: What the journal of a switch says.
SwitchFacts = t.TypedDict(
    "SwitchFacts",
    {"kind": str, "from": t.Optional[str], "to": str, "why": str, "by": str, "since": str, "service": t.Optional[str], "history": int},
)
