# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one family of errors that the collection raises on purpose.

A message names the object, what was expected, what was found, and what to do next, in one sentence or two.
"""

from __future__ import annotations

import typing as t


class OpsError(Exception):
    """A condition that an operator can act on.

    :param subject: the object that the error is about, e.g. ``backup /srv/backups/a.zip``.
    :param expected: what should have been the case.
    :param found: what was the case instead.
    :param todo: what to do next, a sentence without its full stop.
    :param facts: what a module's result has beside the sentence.
    """

    def __init__(
        self, subject: str, expected: str = "", found: str = "", todo: str = "", facts: t.Mapping[str, t.Any] | None = None
    ) -> None:
        self.subject = subject
        self.expected = expected
        self.found = found
        self.todo = todo
        self.facts = dict(facts or {})
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """The whole message, on one line whatever the names in it are like: ``subject: expected …, found …. Do ….``"""
        facts = []
        if self.expected:
            facts.append("expected " + self.expected)
        if self.found:
            facts.append("found " + self.found)
        text = self.subject + (": " + ", ".join(facts) if facts else "") + "."
        text += " " + self.todo + "." if self.todo else ""
        return "".join(sign if sign >= " " else sign.encode("unicode_escape").decode() for sign in text)

    def say(self, text: str) -> None:
        """Let the whole message be another text."""
        self.args = (text,)

    def then(self, text: str) -> None:
        """Add a sentence to the end of the message."""
        self.say(f"{self} {text}".rstrip())


class InputError(OpsError):
    """What was asked for cannot be done as it was asked; nothing was changed."""


class StateError(OpsError):
    """The target is not in a state in which the work can be done."""


class IntegrityError(OpsError):
    """Bits are not what they were said to be: a checksum, an archive, a manifest, a database."""


class ServiceError(OpsError):
    """The service did not do what it was asked to."""
