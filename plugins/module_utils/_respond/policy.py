# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What may be done about a cause by itself, in which order, and how often: decisions only, nothing is done here."""

from __future__ import annotations

import dataclasses
import datetime

from .._core.errors import StateError
from .._diagnose import remedies
from .._diagnose.rules import Cause
from .journal import Response

#: The actions, the gentlest first.
MEND, RESTART, ROLLBACK = "mend", "restart", "rollback"
ACTIONS = (MEND, RESTART, ROLLBACK)
#: Seconds for which actions are counted.
WINDOW = 3600
#: All causes together may have this many times the actions of one.
ALL = 3
#: Causes that lie in the release: a restart does not help.
OF_RELEASE = ("crash_loop", "dependency_missing")
#: Causes that one short look shows: no check has to be waited for.
AT_ONCE = (*OF_RELEASE, "stopped", "not_running", "port_taken", "disk_full", "inodes_full", "files_exhausted", "folder_not_writable")
#: The name of a cause that the diagnosis does not know: checks fail, and that is all.
UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True)
class Policy:
    """What the operators allow."""

    #: Out of :data:`ACTIONS`.
    actions: tuple[str, ...]
    #: Responses to one cause in an hour that may act.
    limit: int
    #: Seconds after an action in which the same cause gets no other one.
    quiet: float


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why nothing is done about a cause now."""

    #: ``deferred``: later; ``handed_over``: a person has it; ``limit``: a person gets it.
    kind: str
    text: str
    incident: str = ""


def ladder(causes: tuple[Cause, ...], allowed: tuple[str, ...], can_roll_back: bool) -> tuple[str, ...]:
    """The actions to try one after the other until the service is well; none when a person has to decide.

    :param causes: what the diagnosis found, the surest first; nothing when only checks fail.
    :param can_roll_back: whether a recent release may be the reason, and there is a target.
    """
    return tuple(step for step in _wanted(causes) if step in allowed and (step != ROLLBACK or can_roll_back))


def _wanted(causes: tuple[Cause, ...]) -> tuple[str, ...]:
    if not causes:
        return RESTART, ROLLBACK
    if causes[0].name in OF_RELEASE:
        return (ROLLBACK,)
    try:
        cause = remedies.chosen(list(causes))
    except StateError:  # two compete, or it is for a person to mend
        return ()
    if cause.remedy == "restart":
        return RESTART, ROLLBACK
    return (MEND, RESTART) if cause.remedy == "continue" else (MEND,)


def refusal(past: list[Response], cause: str, policy: Policy, now: datetime.datetime) -> Refusal | None:
    """Why nothing is done about a cause now, by what was done in the last hour; ``None`` when something may be.

    :param past: the responses within :data:`WINDOW`, oldest first.
    """
    same = [each for each in past if each.cause == cause]
    handed = next((each for each in reversed(same) if each.outcome == "handed_over"), None)
    if handed:
        return Refusal("handed_over", f"A person was called for it at {handed.when}", handed.incident)
    acted, everything = [each for each in same if each.actions], [each for each in past if each.actions]
    if acted and (now - acted[-1].moment()).total_seconds() < policy.quiet:
        return Refusal("deferred", f"{acted[-1].did()} at {acted[-1].when}; the same cause gets no other action for {policy.quiet:g} s")
    if len(acted) >= policy.limit:
        return Refusal("limit", f"It was acted on {len(acted)} times within an hour, which is the limit (mobius_respond_limit)")
    if len(everything) >= policy.limit * ALL:
        return Refusal("limit", f"This host was acted on {len(everything)} times within an hour, for several causes")
    return None
