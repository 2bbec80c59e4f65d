# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the result of a task says. No Ansible in here."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core import causes


def text_of(value: t.Any) -> str:
    """A value as text: a list of texts is one line each."""
    if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
        return "\n".join(value)
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)


def cause(facts: t.Mapping[str, object], otherwise: str = "no reason given") -> str:
    """Why something failed: the message, or what a program said; of a loop that of the first item that failed.

    :param otherwise: what to say when nothing says why.
    """
    items = facts.get("results")
    for item in items if isinstance(items, list) else []:
        if isinstance(item, dict) and (item.get("failed") or item.get("unreachable")):
            return f"{cause(item)} (item {text_of(item.get('item'))})"
    message = facts.get("msg")
    if message == "non-zero return code" and facts.get("stderr"):
        message = facts["stderr"]  # what the program said, and not only that it failed
    why = causes.cause(str(facts.get("module_stderr") or ""))
    if why and message and why not in str(message):  # of a module that broke, Ansible says only that
        message = f"{why} ({str(message).strip().splitlines()[0]})"
    told = [message, facts.get("module_stderr"), facts.get("stderr"), facts.get("reason")]
    return next((str(text).strip() for text in told if text and str(text).strip()), otherwise)
