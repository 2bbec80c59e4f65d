# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host knows about people, so that it pages without a controller: ``state/notify.json``, and the URLs of channels.

URLs hold passwords. They are in a file of their own that only root reads, and leave it only for the sender.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import stat
import typing as t

from .._core import clock, foreign, fs
from .._core.errors import StateError
from .._target import records
from .._target.layout import Layout
from . import contacts
from .times import wrong


@dataclasses.dataclass(frozen=True)
class Plan:
    """The settings for messages of a host."""

    people: contacts.Directory
    #: Incidents that were opened before are not paged: they are from the time before paging was set up.
    since: datetime.datetime
    env: str
    #: The host's name in the inventory.
    host: str
    #: An address for people, in which ``{incident}`` stands for the id; empty for none.
    link: str
    #: The file with the URLs.
    urls_file: str
    #: The address of the runbook's page; empty for its path in the documentation.
    runbook: str = ""


def record_path(layout: Layout) -> str:
    """Where the settings are."""
    return layout.path("state", "notify.json")


def own_urls(layout: Layout) -> str:
    """Where the URLs are that setup has written."""
    return layout.path("state", "notify_urls.json")


def load(layout: Layout) -> Plan:
    """The settings of this host. :raises StateError: when there are none."""
    path = record_path(layout)
    told = records.read(path, records.NOTIFY)
    if told is None:
        raise StateError(
            "messages: this host has no contacts", todo="Set mobius_contacts and mobius_escalation, and run the playbook mobius.ops.setup"
        )
    people = contacts.directory(told["contacts"], told["oncall"], told["escalation"])
    return Plan(people, clock.parse(told["since"]), told["env"], told["host"], told["link"], told["urls_file"], told.get("runbook", ""))


def configure(layout: Layout, settings: t.Mapping[str, object], urls: t.Mapping[str, object], check_mode: bool) -> bool:
    """Write the settings and URLs, or remove them when there are no contacts; whether that changes something.

    :param settings: ``contacts, oncall, escalation, env, host, link, runbook, urls_file`` (an own file of URLs; empty for the URLs given).
    :raises InputError: for the first mistake in them.
    """
    people = contacts.directory(settings["contacts"], settings["oncall"], settings["escalation"])
    for name, url in urls.items():
        if name not in people.channels:
            raise wrong(
                "mobius_notify_urls", f"{str(name)[:60]!r} is not a channel of mobius_contacts", "Correct the name, or add the channel"
            )
        if not isinstance(url, str) or "://" not in url or "\0" in url:  # the value is a secret
            raise wrong("mobius_notify_urls", f"the value of {name} is not a URL", "Give an Apprise URL such as mailtos://…")
    old = records.read(record_path(layout), records.NOTIFY)
    wanted: dict[str, object] | None = None
    if people.channels:
        wanted = {**settings, "urls_file": settings["urls_file"] or own_urls(layout), "since": old["since"] if old else clock.iso()}
    changed = _write(own_urls(layout), urls or None, records.URLS, check_mode)
    return _write(record_path(layout), wanted, records.NOTIFY, check_mode) or changed


def _write(path: str, value: t.Any, kind: records.Kind, check_mode: bool) -> bool:
    """Replace a file that only root reads, or remove it for no value."""
    old = records.read(path, kind)
    if old == value and (value is None or not stat.S_IMODE(os.lstat(path).st_mode) & 0o077):
        return False
    if not check_mode and value is not None:
        fs.write_json(path, value, 0o600)
    elif not check_mode:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            fs.fsync_dir(os.path.dirname(path))
    return True


def urls(plan: Plan) -> dict[str, str]:
    """URL by channel. :raises StateError: when another user could read or write the file."""
    path = plan.urls_file
    with contextlib.suppress(FileNotFoundError, foreign.NotRegularError):
        descriptor = foreign.plain(path)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise StateError(f"{path}: other users may read or write the URLs of channels", todo=f"chown root {path} && chmod 600 {path}")
    return records.read(path, records.URLS) or {}
