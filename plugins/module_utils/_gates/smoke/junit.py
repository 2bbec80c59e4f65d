# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a smoke suite: JUnit XML for CI, and the same as JSON.

Attempts follow the conventions of Surefire: a test that passed in the end has a ``flakyFailure`` (or ``flakyError``) for each earlier
attempt; of one that failed, the first attempt is its ``failure`` (or ``error``) and the others are ``rerunFailure`` (``rerunError``).
"""

from __future__ import annotations

import os
import re
import socket
import typing as t

from ..._core import fs
from ..._core.errors import InputError, StateError
from .smoke_types import Attempt, SmokeReport, Test

try:
    import junitparser
except ImportError:
    junitparser = None  # type: ignore[assignment]

#: What XML cannot hold.
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def require(path: str) -> str:
    """The path of the JSON report beside the JUnit file. :raises OpsError: when the two could not be written."""
    if not os.path.isabs(path):
        raise InputError(f"junit {path}", "an absolute path", "a relative one", "Give the whole path")
    if junitparser is None:
        raise StateError(
            f"junit {path}",
            "the Python library junitparser where the tests run",
            "none",
            "Install the package python3-junitparser there (mobius.ops.setup does)",
        )
    beside = os.path.splitext(path)[0] + ".json"
    if beside == path:
        raise InputError(f"junit {path}", "another name than that of the JSON report", "the same", "Let it end in .xml")
    return beside


def keep(path: str, report: SmokeReport) -> None:
    """Write the report for other programs. A run whose report is missing did not pass."""
    try:
        write(path, report)
    except OSError as fault:
        report["passed"] = False
        report["summary"] += f", but {path} could not be written: {fault.strerror}"


def write(path: str, report: SmokeReport) -> None:
    """Write both, each in one step, into a folder that is there."""
    fs.write_text(path, junit(report))
    fs.write_json(require(path), report)


def _fit(text: t.Any) -> str:
    return _UNFIT.sub("?", str(text))


def junit(report: SmokeReport) -> str:
    """The text of the JUnit document."""
    name = "mobius.smoke" + (f".{report['env']}" if report["env"] else "")
    suite = junitparser.TestSuite(name)
    suite.hostname, suite.timestamp = socket.gethostname(), report["started"].rstrip("Z")
    for key, value in (("env", report["env"]), ("base_url", report["base_url"]), ("release", report["release"])):
        suite.add_property(key, _fit(value or "unknown"))
    for test in report["tests"]:
        suite.append(_case(name, test))
    document = junitparser.JUnitXml(name)
    document.append(suite)
    document.update_statistics()
    return '<?xml version="1.0" encoding="utf-8"?>\n' + document.tostring().decode("utf-8") + "\n"


def _case(suite: str, test: Test) -> t.Any:
    """A test and all its attempts."""
    case = junitparser.TestCase(_fit(test["name"]))
    case.classname, case.time = f"{suite}.{test['kind']}", test["seconds"]
    bad = [one for one in test["attempts"] if one["outcome"] != "ok"] if test["status"] != "skipped" else []
    if test["status"] == "skipped":
        case.append(junitparser.Skipped(_fit(test["reason"])))
    for number, one in enumerate(bad):
        kind = "error" if one["outcome"] == "error" else "failure"
        tag = (
            kind if test["status"] == "failed" and number == 0 else ("flaky" if test["status"] == "passed" else "rerun") + kind.capitalize()
        )
        case.append(_result(tag, one))
    lines = [
        f"attempt {number}: {one['outcome']}" + (f", {one['error']}" if one["error"] else "")
        for number, one in enumerate(test["attempts"], 1)
    ]
    case.system_out = _fit("\n".join(lines + ([test["found"]] if test["found"] else [])))
    return case


def _result(tag: str, one: Attempt) -> t.Any:
    """What went wrong in an attempt, as an element of that name. The library has no common ones for reruns in all its versions."""
    element = type(tag, (junitparser.Failure,), {"_tag": tag})(_fit(one["error"]), _fit(one["kind"] or one["outcome"]))
    element.text = _fit(one["evidence"] or one["error"])
    return element
