# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The manager of a service of one instance: systemd, a supervisor of this collection, or whatever ran it before it was adopted."""

from __future__ import annotations

from .._target.layout import Layout
from .._target.record_types import ServiceSpec
from . import adopted_service, node_service
from .process_service import ProcessService
from .systemd_service import SystemdService

MANAGERS: dict[str, type[node_service.Service]] = {"systemd": SystemdService, adopted_service.MANAGER: adopted_service.AdoptedService}


def single_service(layout: Layout, spec: ServiceSpec) -> node_service.Service:
    """The service of a definition that has no slots."""
    return MANAGERS.get(spec["manager"], ProcessService)(layout, spec)
