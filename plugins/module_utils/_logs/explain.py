# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every line by which the runbook's three greps and the report differ."""

from __future__ import annotations

import dataclasses
import functools
import re
import typing as t

from . import files, formats, stream, templates
from .files import Found
from .formats import Form
from .report_types import DifferingLine

#: The greps: ``grep -i error``, ``grep "response.*time"``, ``grep "POST\|PUT\|DELETE"``.
GREPS = {"errors": re.compile(rb"(?i)error"), "times": re.compile(rb"response.*time"), "writes": re.compile(rb"POST|PUT|DELETE")}
#: Bytes of a line in which secrets are looked for; far fewer of it are shown.
SHOWN = 8192


@dataclasses.dataclass
class Difference:
    """What a grep and the report say of the same lines."""

    both: int = 0
    grep_only: int = 0
    report_only: int = 0
    lines: list[DifferingLine] = dataclasses.field(default_factory=list)

    def see(self, grep: bool, report: bool, line: t.Callable[[], str], place: str, number: int, most: int) -> None:
        """Count a line, and keep it when they differ."""
        self.both += grep and report
        self.grep_only += grep and not report
        self.report_only += report and not grep
        if grep != report and sum(1 for one in self.lines if one["found_by"] == ("grep" if grep else "report")) < most:
            self.lines.append({"found_by": "grep" if grep else "report", "file": place, "number": number, "line": line()})


def explain(found: list[Found], moment: float, most: int, limit: int, hide: t.Callable[[str], str] = str) -> dict[str, Difference]:
    """Compare, line by line.

    :param moment: lines of before are left out.
    :param most: lines that are kept of each kind.
    :param limit: bytes to read at most.
    :param hide: returns a text without secrets.
    """
    differences = {name: Difference() for name in GREPS}
    for file in found:
        try:
            with stream.Reader(files.opened(file), file.packed, formats.SNIFF) as reader:
                form = formats.sniff(reader.beginning(formats.SNIFF))
            with stream.Reader(files.opened(file), file.packed, limit) as reader:
                _compare(reader, file, form, moment, most, differences, hide)
                limit -= reader.offset
        except OSError:
            continue  # the report names it
    return differences


def _compare(
    reader: stream.Reader,
    file: Found,
    form: Form,
    moment: float,
    most: int,
    differences: dict[str, Difference],
    hide: t.Callable[[str], str],
) -> None:
    number, at = 0, None
    for block in reader.blocks():
        for line in block.split(b"\n")[:-1]:
            number += 1
            if moment:
                found = form.stamp(line, 0)
                at = at if found is None else found
                if (file.changed if at is None else at) < moment:
                    continue
            said = judged(form, line)
            for name, grep in GREPS.items():
                differences[name].see(bool(grep.search(line)), said[name], functools.partial(_shown, line, hide), file.path, number, most)


def _shown(line: bytes, hide: t.Callable[[str], str]) -> str:
    return templates.shown(templates.hidden([line[:SHOWN]], hide)[0], templates.SAMPLE)


def judged(form: Form, line: bytes) -> dict[str, bool]:
    """What the report takes a line for: an error (also a request that failed), a request with its time, a write."""
    rows = formats.requests(form, line + b"\n")
    return {
        "errors": formats.error_text(form, line) is not None or any(formats.failed(row[3]) for row in rows),
        "times": any(formats.milliseconds(form, row[4]) >= 0 for row in rows),
        "writes": any(formats.changes(row[1]) for row in rows),
    }
