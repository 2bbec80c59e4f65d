# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of a preflight that is about the request and not about a host: CI, approvals, people, window, artifact."""

from __future__ import annotations

import datetime
import os
import typing as t

from ..._core import commands, documents, wording
from ..._core.errors import InputError, OpsError
from ..._people import contacts, overview
from . import change_windows
from .table import Row, of_error, row, skipped

#: Words that CI systems have for a good end.
GOOD = frozenset({"success", "successful", "succeeded", "passed", "pass", "ok", "green", "neutral", "skipped"})
_WORD = ("conclusion", "state", "status")
#: Seconds that a command has to tell the status of CI.
PATIENCE = 60.0
_LARGEST = 10 * 1024 * 1024


def ci(source: t.Any) -> Row:
    """Whether CI has passed, told by a file (JSON or a word) or by a command (a list of words)."""
    if not source:
        return skipped("ci", "mobius_preflight_ci is empty")
    try:
        good, found = _of_command([str(word) for word in source]) if isinstance(source, list) else _of_file(os.path.expanduser(str(source)))
    except OpsError as error:
        return of_error("ci", error)
    except OSError as error:  # it may not be run
        return row("ci", False, f"{error.filename}: {error.strerror}", "all CI checks passed", "correct mobius_preflight_ci")
    return row("ci", good, found, "all CI checks passed", "wait for CI, or correct what it found")


def _of_command(argv: list[str]) -> tuple[bool, str]:
    done = commands.capture(argv, what="mobius_preflight_ci", timeout=PATIENCE)
    last = (done.stdout.strip().splitlines() or [""])[-1][:200]
    found = commands.ending(done) if done.returncode else "exit status 0" + (f" ({last})" if last else "")
    return done.returncode == 0, f"{os.path.basename(argv[0])}: {found}"


def _of_file(path: str) -> tuple[bool, str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            text = stream.read(_LARGEST).strip()
    except OSError as error:
        raise InputError(
            f"CI status {path}", "a file on the controller", error.strerror or str(error), "Correct mobius_preflight_ci"
        ) from error
    try:
        told = documents.parse(text)
    except ValueError:
        told = text.split("\n", 1)[0]
    jobs = _jobs(told)
    if not jobs:
        raise InputError(
            f"CI status {path}", "a word, or JSON with status, state or conclusion", repr(text[:80]), "Correct mobius_preflight_ci"
        )
    bad = [f"{name or 'status'} {word}" for name, word in jobs if word.lower() not in GOOD]
    return not bad, ", ".join(bad[:10]) or (f"{len(jobs)} checks passed" if len(jobs) > 1 else jobs[0][1])


def _jobs(told: t.Any) -> list[tuple[str, str]]:
    """Name and word of each job: of a word, an object with one, or a list of objects (GitHub's check runs, GitLab's jobs)."""
    if isinstance(told, str):
        return [("", told.strip())] if told.strip() else []
    if isinstance(told, dict):
        inner = next((told[key] for key in ("check_runs", "checks", "statuses", "jobs") if isinstance(told.get(key), list)), None)
        if inner:
            return _jobs(inner)
        word = next((told[key] for key in _WORD if isinstance(told.get(key), str)), "")
        return [(str(told.get("name") or told.get("context") or ""), word or "without a status")] if word or told.get("name") else []
    return [job for one in told for job in _jobs(one)] if isinstance(told, list) else []


def people(approvals: t.Any) -> list[tuple[str, str]]:
    """Name and role of each who approved; of a list of ``{name, role}``, or of ``anna:ops, bert:dev``. Each person counts once.

    :raises InputError: when it is neither.
    """
    if isinstance(approvals, str):
        approvals = [dict(zip(("name", "role"), map(str.strip, word.split(":", 1)))) for word in approvals.split(",") if word.strip()]
    found: dict[str, tuple[str, str]] = {}
    for one in approvals or []:
        name = str(one.get("name") or "").strip() if isinstance(one, dict) else ""
        if not name:
            raise InputError("mobius_approvals", "a list of {name, role}, or text such as 'anna:ops, bert:dev'", repr(one), "Correct it")
        role = str(one.get("role") or "").strip()
        names = found.get(name.lower(), (name, ""))
        found[name.lower()] = (names[0], ", ".join(filter(None, (names[1], role))))
    return list(found.values())


def approvals_row(approvals: t.Any, least: int, role: str) -> Row:
    """Whether enough people have approved, one of them in the role that must."""
    if not least:
        return skipped("approvals", "mobius_preflight_min_approvals is 0")
    expected = f"{least} of different people" + (f", one of them {role}" if role else "")
    try:
        given = people(approvals)
    except InputError as error:
        return of_error("approvals", error)
    has_role = not role or any(role.lower() in roles.lower().split(", ") for _name, roles in given)
    found = ", ".join(f"{name} ({roles})" if roles else name for name, roles in given) or "nobody"
    return row(
        "approvals",
        len(given) >= least and has_role,
        found,
        expected,
        f"get the approvals and name them, such as -e 'mobius_approvals=anna:{role or 'dev'},bert:dev'",
    )


def operator(name: str, needed: bool) -> Row:
    """Whether somebody is named who looks after the deploy."""
    if not name.strip() and not needed:
        return skipped("operator", "mobius_operator is empty, and mobius_preflight_operator is false")
    return row(
        "operator",
        bool(name.strip()),
        name.strip() or "nobody",
        "a person who looks after the deploy",
        "name who does, with -e mobius_operator=NAME",
    )


def window(windows: list[str], moment: datetime.datetime, needed: float) -> Row:
    """Whether the deploy and its watch lie in a window."""
    if not windows:
        return skipped("window", "mobius_deploy_windows is empty")
    try:
        good, found, remedy = change_windows.judge(windows, moment, needed)
    except InputError as error:
        return of_error("window", error)
    return row("window", good, found, f"{', '.join(windows)} UTC, with a watch of {wording.duration(needed)}", remedy)


def freeze(days: list[str], moment: datetime.datetime) -> Row:
    """Whether nothing may be deployed today."""
    if not days:
        return skipped("freeze", "mobius_deploy_freeze is empty")
    try:
        found = change_windows.frozen(days, moment)
    except InputError as error:
        return of_error("freeze", error)
    return row("freeze", not found, found or f"none on {moment:%Y-%m-%d}", "no freeze today", "wait for its end")


def oncall(settings: tuple[t.Any, t.Any, t.Any], moment: datetime.datetime) -> Row:
    """Whether contacts, schedules and escalation chains are right, and every chain reaches a channel at the moment."""
    if not any(settings):
        return skipped("oncall", "mobius_contacts, mobius_oncall and mobius_escalation are empty")
    try:
        people = contacts.directory(*settings)
    except InputError as error:
        return of_error("oncall", error)
    good = bool(people.chains) and not overview.unreachable(people, moment)
    return row(
        "oncall",
        good,
        overview.message(people, moment),
        "an escalation chain that reaches a channel",
        "correct mobius_contacts, mobius_oncall or mobius_escalation",
    )


def artifact(facts: t.Mapping[str, t.Any]) -> Row:
    """Whether the artifact is right, by what ``release_artifact`` said of it: it has checked checksum and manifest."""
    if facts.get("skipped") or not facts:
        return skipped("artifact", "mobius_release_source is empty")
    if not facts.get("release_id"):
        said, remedy = str(facts.get("msg") or "no answer").strip(), str(facts.get("remedy") or "")
        found = said.removesuffix(f" {remedy}.") if remedy else said
        return row(
            "artifact", False, found, "a source that makes a release, all of it right", remedy or "correct the cause and run it again"
        )
    if not facts.get("path"):
        return skipped("artifact", f"release {facts['release_id']} is built by the deploy")
    return row("artifact", True, f"release {facts['release_id']}, SHA-256 {facts['sha256'][:16]}…", "its checksum and manifest", "")
