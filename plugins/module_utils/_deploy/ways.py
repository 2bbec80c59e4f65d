# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which way a service is switched: the one place that knows all kinds."""

from __future__ import annotations

import typing as t

from .._service.draining import Drain
from .._service.node_service import Service
from .._service.slots import SlottedService
from .._target.record_types import Check
from .._target.releases import ReleaseStore
from .blue_green import TwoInstances
from .switch import OneProcess, Running, Way


@t.overload
def of(store: ReleaseStore, service: Service, checks: list[Check], timeout: float, drain: Drain | None = None) -> Running:
    """With a service."""


@t.overload
def of(store: ReleaseStore, service: Service | None, checks: list[Check], timeout: float, drain: Drain | None = None) -> Way:
    """Where there may be none."""


def of(store: ReleaseStore, service: Service | None, checks: list[Check], timeout: float, drain: Drain | None = None) -> Way:
    """The way of a service, or of a host that has none. The parameters are those of :class:`_deploy.switch.Way`."""
    if service is None:
        return Way(store, None, checks, timeout, drain)
    if isinstance(service, SlottedService):
        return TwoInstances(store, service, checks, timeout, drain)
    return OneProcess(store, service, checks, timeout, drain)
