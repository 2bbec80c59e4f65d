# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Facts in words for people who are tired: durations, and how a service is."""

from __future__ import annotations

import re
import typing as t

from . import clock
from .kinds import ServiceStatus

#: Seconds for which an end of the service counts as news.
RECENT_EXIT = 60


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h`` or ``2 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


#: What a text from outside must not bring to a terminal or a page: C0 and C1 control characters but for tabs and line ends, marks that
#: change the direction of the text, line ends of Unicode, invisible tags, and halves of characters, which cannot even be written.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """A text from outside as it may be shown: what could command a terminal or deceive its reader is replaced."""
    return _UNSAFE.sub(REPLACEMENT, text.replace("\r\n", "\n"))


def cleaned(value: t.Any) -> t.Any:
    """A copy of a result (dicts, lists, texts) that may be shown."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {cleaned(key): cleaned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [cleaned(item) for item in value]
    return value


def in_markdown(text: str) -> str:
    """A text from outside as one line of Markdown that is nothing but text: no HTML, no link, no heading, no code."""
    return re.sub(r"([\\`*_\[\]#|~])", r"\\\1", one_line(text)).replace("&", "&amp;").replace("<", "&lt;")


def fenced(text: str) -> list[str]:
    """The lines of a block of code in Markdown that no text can end."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return [fence, clean(text), fence]


def one_line(text: str) -> str:
    """A text in one line, without control characters."""
    if text.isprintable():
        return " ".join(text.split())
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def printable(text: str) -> str:
    """A name for a message or a result: valid Unicode on one line."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in shown)


def cut(text: str, limit: int) -> str:
    """A text of so many characters at most; where some are left out it ends with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def restart_needed(names: list[str]) -> str:
    """That a process lacks changed settings, and what to do; empty when it lacks none."""
    return (
        f"Restart needed: the running process does not have the current {listed(names)}. Run: ansible-playbook mobius.ops.restart."
        if names
        else ""
    )


def listed(names: list[str], most: int = 10) -> str:
    """``a``, ``a and b``, ``a, b and c``, ``a, b and 9 more``."""
    if len(names) > most:
        names = [*names[:most], f"{len(names) - most} more"]
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + "".join(names[-1:])


def service_message(name: str, facts: ServiceStatus, live: str | None, fault: str, unguarded: bool = False) -> tuple[bool, str]:
    """Whether a service is well, and how it is in words, with what to do.

    :param facts: what ``Service.status`` told.
    :param live: the id of the live release.
    :param fault: what the checks found wrong; empty when nothing.
    :param unguarded: whether the live release was never verified and no watch runs.
    """
    last, adopted = facts["last_exit"], facts.get("manager") == "adopted"
    back = "" if adopted else "go back with: ansible-playbook mobius.ops.rollback"
    ended = f"its process ended by {last['how']} at {last['when']}" if last and last["when"] else "its process ended"
    if live is None and not facts["pid"] and not adopted:
        return False, f"{name} does not run: no release is live. Deploy one with mobius.ops.deploy."
    if not facts["pid"]:
        return False, f"{name} is DOWN: {_why_down(facts, ended)}" + (f" If it does not stay up, {back}." if back else "")
    text = (
        f"{name} runs (process {facts['pid']}, port {facts['port']}, up {duration(facts['uptime'])}"
        + ("" if adopted else f", release {facts['release'] or 'unknown'}")
        + ")"
    )
    if facts["status"] == "unsupervised":
        return False, f"{text}, but its supervisor was killed: it will not be restarted. Run: ansible-playbook mobius.ops.restart."
    if facts["release"] not in (live, None):
        return False, f"{text}, but release {live} should be live. Run the deploy or the rollback again."
    if fault:
        return False, (
            f"{text}, but is UNHEALTHY: {fault}. Find the cause with: ansible-playbook mobius.ops.diagnose."
            + (f" If it does not recover, {back}." if back else "")
        )
    told = last and last["when"] and (clock.now() - clock.parse(last["when"])).total_seconds() < RECENT_EXIT
    if told or (facts["restarts"] and facts["uptime"] < RECENT_EXIT):
        return False, (
            f"{text}, but {ended} and it was restarted (restart {facts['restarts']} since its start). "
            f"Look into {facts['console']} for the cause."
        )
    if unguarded:
        return False, (
            f"{text}, but its release was never verified and nobody watches it. Run: ansible-playbook mobius.ops.monitor, or {back}."
        )
    return True, text + (f", restarted {facts['restarts']} times" if facts["restarts"] else "") + "."


def _why_down(facts: ServiceStatus, ended: str) -> str:
    why = {
        "stopped": "it was stopped",
        "restarting": f"{ended}, and it is being started again (restart {facts['restarts']})",
        "failed": f"{ended}, and it was given up after {facts['restarts']} restarts",
        "killed": "its process and its supervisor were killed",
        "gone": f"no process listens on its port ({facts['port']})",
    }.get(facts["status"], facts["status"])
    start = "Start it where it is run." if facts["status"] == "gone" else "Start it with: ansible-playbook mobius.ops.restart."
    return f"{why}. {start}"


def human_size(size: float) -> str:
    """``1.5 MB`` of a number of bytes (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a plain table, columns as wide as their widest cell."""
    if not rows:
        return ["  none"]
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows]]
