# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the callback C(summary) writes for pipelines: a JSON object about a run, and a JUnit report. No Ansible in here."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import re
import tempfile
import typing as t
import xml.etree.ElementTree as ET

#: A change of what a field means makes it one more. New fields do not.
SCHEMA = 1
UNFINISHED = "The playbook did not come to its end; its output says why."
#: What XML 1.0 cannot hold.
_NO_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
#: Modules whose results are gates, with the field that has a row for each, and the field that tells why one failed.
GATES = {"mobius.ops.preflight": ("checks", "found"), "mobius.ops.smoke_test": ("tests", "reason")}


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of a JUnit report."""

    #: The step or gate, and the host.
    name: str
    #: ``passed``, ``failed``, ``skipped`` or ``error``.
    status: str
    text: str = ""
    seconds: float = 0.0
    group: str = "steps"


@dataclasses.dataclass
class Run:
    """A run as far as it is."""

    playbook: str
    began: datetime.datetime
    outcome: str = "failed"
    message: str = UNFINISHED
    good: bool = False
    seconds: float = 0.0
    #: Host -> ``ok``, ``failed`` or ``unreachable``.
    hosts: dict[str, str] = dataclasses.field(default_factory=dict)
    #: All that was left by ``set_stats``.
    facts: dict[str, object] = dataclasses.field(default_factory=dict)
    gates: list[Case] = dataclasses.field(default_factory=list)
    steps: list[Case] = dataclasses.field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """The JSON object, see docs/pipelines.md."""
        facts = {name: value for name, value in self.facts.items() if name not in ("mobius_outcome", "mobius_message", "mobius_env")}
        return {
            "schema": SCHEMA,
            "playbook": f"mobius.ops.{self.playbook}",
            "outcome": self.outcome,
            "good": self.good,
            "message": self.message,
            "environment": str(self.facts.get("mobius_env") or ""),
            "release": str(self.facts.get("mobius_release") or ""),
            "hosts": self.hosts,
            "began": self.began.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "seconds": round(self.seconds, 1),
            "facts": facts,
        }

    def cases(self) -> list[Case]:
        """Gates, steps, and how it ended."""
        end = Case("outcome", "passed" if self.good else "failed", f"{self.outcome.upper()}: {self.message}", self.seconds, "outcome")
        return [*self.gates, *self.steps, end]

    def junit(self) -> bytes:
        """The report in JUnit's form."""
        cases = self.cases()
        root = ET.Element("testsuites")
        for group in dict.fromkeys(case.group for case in cases):
            members = [case for case in cases if case.group == group]
            count = {status: str(sum(case.status == status for case in members)) for status in ("failed", "error", "skipped")}
            suite = ET.SubElement(
                root,
                "testsuite",
                {
                    "name": f"mobius.ops.{self.playbook} {group}",
                    "tests": str(len(members)),
                    "failures": count["failed"],
                    "errors": count["error"],
                    "skipped": count["skipped"],
                    "time": f"{sum(case.seconds for case in members):.3f}",
                    "timestamp": self.began.strftime("%Y-%m-%dT%H:%M:%S"),
                },
            )
            for case in members:
                node = ET.SubElement(
                    suite,
                    "testcase",
                    {"classname": f"mobius.ops.{self.playbook}.{group}", "name": _plain(case.name), "time": f"{case.seconds:.3f}"},
                )
                if case.status in ("failed", "error"):
                    fault = ET.SubElement(node, "failure" if case.status == "failed" else "error", {"message": _plain(case.text)[:300]})
                    fault.text = _plain(case.text)
                elif case.status == "skipped":
                    ET.SubElement(node, "skipped", {"message": _plain(case.text)[:300]})
                elif case.text:
                    ET.SubElement(node, "system-out").text = _plain(case.text)
        ET.indent(root)
        return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def gates(action: str, host: str, facts: t.Mapping[str, object]) -> list[Case]:
    """The rows of a result that is a gate: checks of a preflight, smoke tests; none of another one."""
    field, why = GATES.get(action, ("", ""))
    rows = t.cast("t.Sequence[object] | None", facts.get(field) if field else None)
    return [
        Case(
            f"{row['name']} [{host}]",
            {"failed": "failed", "passed": "passed"}.get(row["status"], "skipped"),
            str(row.get(why) or ""),
            float(row.get("seconds") or 0),
            action.rpartition(".")[2],
        )
        for row in rows or []
        if isinstance(row, dict) and "name" in row and "status" in row
    ]


def write(path: str, data: bytes) -> None:
    """Put a file in place at once: a reader has the old one or the new one. Missing folders are made. :raises OSError: when it cannot."""
    path = os.path.abspath(os.path.expanduser(path))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor, made = tempfile.mkstemp(prefix=".summary-", dir=os.path.dirname(path))
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), 0o644)
            stream.write(data)
        os.replace(made, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise


def _plain(text: str) -> str:
    return _NO_XML.sub("?", text)
