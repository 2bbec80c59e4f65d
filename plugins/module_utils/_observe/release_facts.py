# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which releases a host has, which one serves, and what its history says: the result of the module release_info."""

from __future__ import annotations

from .._core import clock
from .._target import deploy_lock, history, records, switch_journal
from .._target.layout import Layout
from .._target.releases import ReleaseStore
from . import dora


def of(layout: Layout, events: int) -> dict[str, object]:
    """The facts. Damaged records are in ``findings`` and nowhere else.

    :param events: how many of the newest events of the history there are.
    """
    findings = records.Findings()
    store = ReleaseStore(layout, findings)
    live, target = findings.without(store.live, None), findings.without(store.target, None)
    unread = history.unread(layout)
    return {
        "live": live,
        "findings": findings.told + ([unread] if unread else []),
        "target": target["id"] if target else None,
        "releases": store.all(),
        "drill": history.last(layout, "drill"),
        "lock": deploy_lock.DeployLock(layout).look(),
        "unfinished": switch_journal.unfinished(layout),
        "dora": dora.figures(history.of_kinds(layout, dora.KINDS), clock.now()),
        "history": history.events(layout, events),
    }
