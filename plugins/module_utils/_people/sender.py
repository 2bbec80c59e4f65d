# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One message through one URL, by Apprise, which is optional on a target."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
import sys
import threading
import typing as t

from .._core.errors import StateError

#: Schemes whose plugins send headers that a URL asks for.
_HEADERS = re.compile(r"(?:jsons?|xmls?|forms?|mailtos?)://", re.IGNORECASE)
_INSTALL = "Install it: apt-get install apprise, or pip install apprise"
_STATUS = re.compile(r"error=(\d{3})\b")


def _installed() -> bool:
    return importlib.util.find_spec("apprise") is not None


def missing() -> list[str]:
    """A sentence when Apprise is missing."""
    return [] if _installed() else [f"Apprise: {sys.executable} has no such library, so messages wait. {_INSTALL}."]


def require() -> None:
    """:raises StateError: when Apprise is missing."""
    if not _installed():
        raise StateError(f"Apprise: {sys.executable} has no such library, so messages wait", todo=_INSTALL)


class _Statuses(logging.Handler):
    """Keeps only the HTTP statuses of what Apprise logs: its lines may hold URLs and texts."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.thread = threading.get_ident()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the status that a line of this thread names: other channels are sent to at the same time."""
        if record.thread == self.thread:
            self.found += _STATUS.findall(record.getMessage())


def send(url: str, title: str, body: str, key: str) -> str:
    """Send a message through one URL. Why it failed, without anything of the URL; empty when the receiver has taken it.

    :param key: sent as the header ``Idempotency-Key`` where the receiver's protocol has headers.
    """
    logger, statuses = logging.getLogger("apprise"), _Statuses()
    logger.addHandler(statuses)
    logger.propagate = False
    try:
        # loaded for the first message only: it takes time and memory, and a timer looks each 30 s whether there is one
        library = importlib.import_module("apprise")
        plugin = library.Apprise.instantiate(_with_key(url, key))
        if plugin is None:
            return "Apprise does not know such a URL"
        if _notified(library, plugin, title, body):
            return ""
        return f"the receiver refused it with HTTP status {statuses.found[-1]}" if statuses.found else "the receiver did not take it"
    except Exception as error:  # a plugin's; its text may hold the URL
        return f"Apprise failed with {type(error).__name__}"
    finally:
        logger.removeHandler(statuses)


def _notified(library: t.Any, plugin: t.Any, title: str, body: str) -> bool:
    """Send by one of Apprise's plugins, in this thread: Apprise's own pool has few, and one that hangs would keep others from theirs."""
    text, convert_between = library.NotifyFormat.TEXT, importlib.import_module("apprise.conversion").convert_between
    wanted = plugin.resolve_format(text) if hasattr(plugin, "resolve_format") else plugin.notify_format
    if plugin.title_maxlen <= 0:  # the plugin puts the title into the body
        title = convert_between(text, wanted, content=title)
    return bool(
        plugin.notify(
            body=convert_between(text, wanted, content=body), title=title, notify_type=library.NotifyType.INFO, body_format=wanted
        )
    )


def _with_key(url: str, key: str) -> str:
    name = "X-Idempotency-Key" if url.lower().startswith("mailto") else "Idempotency-Key"
    return f"{url}{'&' if '?' in url else '?'}+{name}={key}" if _HEADERS.match(url) else url


#: What sends: URL, title, body and key; why it failed, or nothing.
Send = t.Callable[[str, str, str, str], str]
