# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of a preflight: one row a check, what is waived, and the one message that tells all failures."""

from __future__ import annotations

import typing as t

from ..._core import clock
from ..._core.errors import InputError, OpsError, StateError
from ..._target import history

STATUSES = ("passed", "failed", "waived", "skipped")
#: A deploy cannot do without these, so they cannot be waived.
ESSENTIAL = ("artifact", "write", "port", "env_file", "lock")


class Row(t.TypedDict):
    """A check of the host or of the request."""

    name: str
    status: str
    found: str
    expected: str
    remedy: str


def row(name: str, good: bool, found: str, expected: str, remedy: str) -> Row:
    """A check that was made."""
    return {"name": name, "status": "passed" if good else "failed", "found": found, "expected": expected, "remedy": "" if good else remedy}


def skipped(name: str, reason: str) -> Row:
    """A check that is switched off, and why."""
    return {"name": name, "status": "skipped", "found": reason, "expected": "", "remedy": ""}


def of_error(name: str, error: OpsError) -> Row:
    """A check that failed by an error that tells what was expected, found, and what to do."""
    return row(name, False, str(error), error.expected, error.todo or "correct it")


def require_rows(rows: list[t.Any]) -> None:
    """:raises InputError: when rows that were given are none."""
    for one in rows:
        if not isinstance(one, dict) or {"name", "status", "found", "expected", "remedy"} - set(one) or one["status"] not in STATUSES:
            raise InputError("given checks", "rows with name, status, found, expected and remedy", repr(one)[:200], "Correct them")


def waive(rows: list[Row], names: list[str], why: str) -> list[Row]:
    """The rows, those that failed and are named waived. What passes by itself is not waived.

    :raises InputError: when a name is unknown or may not be waived, or there is no reason.
    """
    known = [one["name"] for one in rows]
    may = [name for name in known if name not in ESSENTIAL]
    wrong = [name for name in names if name not in may]
    if wrong:
        essential = ", ".join(name for name in wrong if name in known)
        raise InputError(
            "mobius_preflight_skip",
            "some of " + ", ".join(may),
            ", ".join(map(repr, wrong)),
            f"Correct it; a deploy cannot do without {essential}" if essential else "Correct it",
        )
    if names and not why.strip():
        raise InputError("mobius_why", f"why {', '.join(names)} may be waived", "nothing", "Give the reason, such as -e \"mobius_why='…'\"")
    return [{**one, "status": "waived"} if one["status"] == "failed" and one["name"] in names else one for one in rows]


class Waived(t.TypedDict):
    """Who waived which checks, when and why."""

    who: str
    why: str
    when: str
    checks: list[str]


class Report(t.TypedDict):
    """What a preflight found."""

    checks: list[Row]
    passed: bool
    waived_by: Waived | None


def report(rows: list[Row], why: str) -> Report:
    """What the module returns: ``checks``, ``passed``, and ``waived_by`` with who, why, when and the names."""
    waived = [one["name"] for one in rows if one["status"] == "waived"]
    by: Waived | None = {"who": history.who(), "why": why, "when": clock.iso(), "checks": waived} if waived else None
    return {"checks": rows, "passed": not failures(rows), "waived_by": by}


def failures(rows: list[Row]) -> list[Row]:
    """The rows that keep a deploy from going on."""
    return [one for one in rows if one["status"] == "failed"]


def refusal(rows: list[Row], facts: t.Mapping[str, object]) -> StateError:
    """All failures in one message, with their remedies.

    :param facts: what a module's result has beside it.
    """
    bad = failures(rows)
    made = sum(one["status"] != "skipped" for one in rows)
    return StateError(
        "preflight of this host",
        "every check to pass",
        f"{len(bad)} of {made} that do not: " + "; ".join(f"{one['name']} ({one['found']})" for one in bad),
        "To do: " + "; ".join(one["remedy"] for one in bad),
        facts,
    )
