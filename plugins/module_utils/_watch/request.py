# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules ask of a watch, and what they tell of one."""

from __future__ import annotations

import typing as t

from .._core.errors import InputError
from .._observe import probe, thresholds
from .._service import registry as service_registry
from .._target.layout import Layout, check_name
from .._target.record_types import Check, WatchSpec
from . import control, watcher
from .watch_types import Followed


def definition(layout: Layout, options: t.Mapping[str, t.Any], checks: list[Check]) -> WatchSpec:
    """What ``begin`` takes.

    :param options: those of ``_ansible.arguments.WATCH``.
    :raises InputError: when it makes no sense, so that nobody learns of that after a switch.
    """
    check_name(options["env"] or "", "env")
    probe.require(checks)
    spec = t.cast(WatchSpec, {**options, "checks": checks})
    if not checks:
        raise InputError("watch", "some checks", "none", "Give the checks option, or mobius_checks")
    control.check_times(spec)
    thresholds.merge(spec["thresholds"])
    if spec["service"]:
        deployed = service_registry.load(layout, spec["service"]).deployed
        spec["auto_rollback"] = spec["auto_rollback"] and deployed  # one that was adopted has nothing to go back to
    return spec


def begin(layout: Layout, spec: WatchSpec) -> dict[str, object]:
    """Start it; what is told of it then."""
    folder = control.start(layout, spec.copy(), watcher)
    return told(control.follow(layout, folder.id, 0, 0))


def told(found: Followed) -> dict[str, object]:
    """What a module returns of a watch that it followed."""
    state: t.Mapping[str, object] = found["state"]
    return {
        **{name: state.get(name) for name in ("verdict", "trigger", "samples", "rollback", "incident", "baseline", "latency")},
        "write_attempts": state.get("write_attempts") or [],
        "watch": {"id": found["id"], **{name: state.get(name) for name in ("status", "release", "rounds", "left", "recent")}},
        "lines": found["lines"],
        "offset": found["offset"],
        "more": found["more"],
        "log_file": found["log_file"],
        "metrics_file": found["metrics_file"],
    }
