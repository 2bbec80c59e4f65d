# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a build is doing and what its programs print, for whoever shows it while the build runs."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import typing as t

from .._core import documents, redaction, wording

#: Longest line that is shown, in characters.
WIDTH = 500


class Output:
    """Takes the phases and lines of a build; this one shows them to nobody.

    :param environment: the build's variables. The values of those that are named like secrets are hidden.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self._hidden = redaction.ordered(
            text for name, value in (environment or {}).items() if redaction.NAMED.search(name) for text in redaction.of_value(name, value)
        )

    def hide(self, text: str) -> str:
        """The text without the values that look like secrets."""
        return redaction.hide(text, self._hidden)

    def phase(self, text: str) -> None:
        """The build begins with something else."""
        self._write({"phase": wording.clean(text)})

    def line(self, text: str) -> None:
        """A program printed a line."""
        self._write({"line": wording.clean(self.hide(text))[:WIDTH]})

    def _write(self, entry: dict[str, str]) -> None:
        """Nobody reads it."""


class Recorded(Output):
    """Appends them to a file, one JSON object a line. A file that cannot be written is no concern of the build.

    :param path: an existing file.
    """

    def __init__(self, path: str, environment: dict[str, str] | None = None) -> None:
        super().__init__(environment)
        self._path, self._lock = path, threading.Lock()

    def _write(self, entry: dict[str, str]) -> None:
        content = (json.dumps(entry) + "\n").encode("ascii")
        with self._lock, contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            try:
                os.write(descriptor, content)
            finally:
                os.close(descriptor)


def output(path: str | None, environment: dict[str, str]) -> Output:
    """What records into a file, or what shows nothing when there is none."""
    return Recorded(path, environment) if path else Output(environment)


def entries(text: str) -> t.Iterator[tuple[str, str]]:
    """``("phase" or "line", text)`` of each entry in whole lines of a record."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, AttributeError):
            yield from ((kind, str(words)) for kind, words in documents.parse(line).items())
