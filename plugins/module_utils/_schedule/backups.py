# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The jobs backup and verify: what the playbooks backup and verify_backups do, by the same code."""

from __future__ import annotations

from .._backup import asked
from .._core.errors import OpsError
from .._target.layout import Layout
from .._target.progress import Meter
from .ended import Ended, Wanted

#: Archives that are named in the evidence.
_NAMED = 20


def back_up(layout: Layout, wanted: Wanted) -> Ended:
    """Make a backup, then remove those that no rule keeps."""
    made = asked.back_up(layout, asked.backup_request({**wanted.options["backup"], "env": wanted.env}, layout), Meter())
    said = f"{made['archive']} ({made['status']}, {made['entries']} entries)"
    for remark in filter(None, [made["missing"], *made.get("warnings", [])]):
        said += f"; {remark.rstrip('.')}"
    prune = wanted.options.get("prune")
    if not prune:
        return Ended("backed_up", said + ".")
    try:
        pruned = asked.prune(layout, asked.prune_request({**prune, "env": wanted.env}, layout), Meter(), asked.sentence)
    except OpsError as error:
        return Ended("not_pruned", f"{said}. Old archives stay: {error}", False)
    return Ended("backed_up", f"{said}; {pruned}.")


def verify(layout: Layout, wanted: Wanted) -> Ended:
    """Verify every archive."""
    found = asked.look({**wanted.options["verify"], "env": wanted.env, "root": layout.root}, Meter())
    bad = [{name: one[name] for name in ("archive", "status", "reason")} for one in found["backups"] if one["status"] != "verified"]
    return Ended(
        "verified" if found["well"] else "not_verified", found["message"], found["well"], evidence={"archives": bad[:_NAMED]} if bad else {}
    )
