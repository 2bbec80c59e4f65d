# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Incident records: what happened, how bad it is, who has to react until when, and the evidence."""
from __future__ import annotations

import contextlib
import datetime
import json
import os
import typing as t

from .._core import clock, dotenv, fs, locks, wording
from .._core.errors import InputError, IntegrityError, StateError
from . import history, records
from .layout import Layout, check_name

#: Runbook, "Severity Levels": minutes until somebody has to respond, escalation, channel.
SEVERITIES: dict[int, dict[str, t.Any]] = {
    1: {"name": "critical", "response_minutes": 15, "escalation": "immediately to the on-call SRE", "channel": "#incidents, @channel"},
    2: {"name": "high", "response_minutes": 60, "escalation": "within 30 minutes if not resolved", "channel": "#incidents"},
    3: {"name": "medium", "response_minutes": 240, "escalation": "within 2 hours if not resolved", "channel": "#ops"},
    4: {"name": "low", "response_minutes": 1440, "escalation": "next business day", "channel": "issue tracker"},
}


def open_incident(layout: Layout, facts: dict[str, t.Any]) -> dict[str, t.Any]:
    """Write a new incident record (JSON, and Markdown for people) and return it.

    :param facts: ``title, severity`` (1 to 4), ``env``, and where known ``summary, release, evidence`` (any JSON value), and ``cause``, a
        word that incidents of one cause have in common.
    :raises InputError: when the severity is not one of the four.
    """
    if facts["severity"] not in SEVERITIES:
        raise InputError("severity", "1, 2, 3 or 4 (runbook, Severity Levels)", repr(facts["severity"]), "Correct it")
    rule = SEVERITIES[facts["severity"]]
    opened = clock.now()
    record = dotenv.Redactor(layout.env_file).value({
        "title": facts["title"], "severity": facts["severity"], "severity_name": rule["name"], "status": "open",
        "env": facts["env"], "release": facts.get("release"), "summary": facts.get("summary") or "",
        "opened": clock.iso(opened), "opened_by": history.who(),
        "respond_by": clock.iso(opened + datetime.timedelta(minutes=rule["response_minutes"])),
        "escalation": rule["escalation"], "channel": rule["channel"], "evidence": facts.get("evidence") or {},
        **({"cause": facts["cause"]} if facts.get("cause") else {}),
    })
    _create(layout, record, opened.strftime("%Y%m%d"))
    fs.write_text(record["path"][:-len(".json")] + ".md", markdown(record))
    history.record(layout, "incident", record["title"], incident=record["id"], severity=record["severity"], release=record["release"])
    return record


def acknowledge(layout: Layout, incident_id: str, why: str = "", check_mode: bool = False) -> tuple[bool, dict[str, t.Any]]:
    """Note in the record who takes care of an incident, which ends the paging. The first acknowledgement stays.

    :returns: whether it was new, and the record.
    :raises StateError: when there is no such incident.
    """
    check_name(incident_id, "incident")
    path = os.path.join(layout.incidents, incident_id + ".json")
    with locks.locked(layout.path("state", "incidents.lock")) if not check_mode else contextlib.nullcontext():
        record = records.read(path, records.INCIDENT)
        if not isinstance(record, dict):
            raise StateError(f"incident {incident_id}: this host has no such incident", todo=f"Choose one of {layout.incidents}")
        if record.get("acknowledged"):
            return False, record
        by = dotenv.Redactor(layout.env_file).value({"when": clock.iso(), "who": history.who(), "why": why})
        record = {**record, "acknowledged": by}
        if not check_mode:
            fs.write_json(path, record)
            with contextlib.suppress(KeyError, TypeError, AttributeError):  # a record that lacks what the page shows has no page
                fs.write_text(path[:-len(".json")] + ".md", markdown(record))
            history.record(layout, "acknowledged", why, incident=incident_id)
    return True, record


def open_of_cause(layout: Layout, cause: str) -> dict[str, t.Any] | None:
    """The newest open incident of a cause. Damaged records are left out: what reads all incidents names them."""
    names = [name for name in os.listdir(layout.incidents) if name.endswith(".json")] if os.path.isdir(layout.incidents) else []
    found = []
    for name in names:
        with contextlib.suppress(IntegrityError):
            record = records.read(os.path.join(layout.incidents, name), records.INCIDENT)
            if isinstance(record, dict) and record.get("cause") == cause and record.get("status", "open") == "open":
                found.append({**record, "id": name[:-len(".json")]})
    return max(found, key=lambda record: (str(record.get("opened")), len(record["id"]), record["id"]), default=None)


def resolve(layout: Layout, incident_id: str, why: str) -> None:
    """Note in the record that its cause is gone, which ends the paging."""
    path = os.path.join(layout.incidents, check_name(incident_id, "incident") + ".json")
    with locks.locked(layout.path("state", "incidents.lock")):
        record = records.read(path, records.INCIDENT)
        if not isinstance(record, dict) or record.get("status", "open") != "open":
            return
        record = {**record, "status": "resolved", "resolved": clock.iso(), "resolution": dotenv.Redactor(layout.env_file).text(why)}
        fs.write_json(path, record)
        with contextlib.suppress(KeyError, TypeError, AttributeError):  # as in acknowledge
            fs.write_text(path[:-len(".json")] + ".md", markdown(record))
        history.record(layout, "resolved", record["resolution"], incident=incident_id)


def _create(layout: Layout, record: dict[str, t.Any], day: str) -> None:
    """Write the record under the day's next free id: two at once get two ids, and nobody reads half a record."""
    number = 1
    while True:
        record["id"] = f"INC-{day}-{number}"
        record["path"] = os.path.join(layout.incidents, record["id"] + ".json")
        try:
            fs.create_json(record["path"], record)
            return
        except FileExistsError:
            number += 1


def markdown(record: dict[str, t.Any]) -> str:
    """The record as a page for people. What came from outside is text in it, whatever it is."""
    plain = wording.in_markdown
    lines = [
        f"# {record['id']}: {plain(record['title'])}", "",
        f"- Severity {record['severity']} ({record['severity_name']}), {record['status']}, environment {plain(record['env'])}",
        f"- Release: {plain(record['release'] or 'none')}",
        f"- Opened {record['opened']} by {plain(record['opened_by'])}; respond by {record['respond_by']}",
        f"- Escalation: {record['escalation']}; channel: {record['channel']}",
        *_acknowledged(record),
        *([f"- Resolved {record['resolved']}: {plain(record.get('resolution') or '')}"] if record.get("resolved") else []), "",
    ]
    if record["summary"]:
        lines += [*(plain(line) for line in record["summary"].splitlines()), ""]
    for name, value in record["evidence"].items():
        text = "\n".join(map(_line, value)) if isinstance(value, list) else _line(value)
        lines += [f"## {plain(name.replace('_', ' ').capitalize())}", "", *wording.fenced(text), ""]
    return "\n".join(lines)


def _acknowledged(record: dict[str, t.Any]) -> list[str]:
    by = record.get("acknowledged")
    if not by:
        return []
    why = f": {wording.in_markdown(by['why'])}" if by.get("why") else ""
    return [f"- Acknowledged {by['when']} by {wording.in_markdown(by.get('who') or 'unknown')}{why}"]


def _line(value: t.Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
