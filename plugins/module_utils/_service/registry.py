# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The services that were set up on a target, by their names."""

from __future__ import annotations

from .._core.errors import StateError
from .._target import records
from .._target.layout import Layout, check_name
from .._target.record_types import ServiceSpec
from .managers import single_service
from .node_service import Service
from .slots import SlottedService


def service_for(layout: Layout, spec: ServiceSpec) -> Service:
    """The service of a definition."""
    return SlottedService(layout, spec) if spec.get("slots") else single_service(layout, spec)


def load(layout: Layout, name: str) -> Service:
    """The service that was set up under a name. :raises StateError: when there is none."""
    path = layout.path("state", "service", check_name(name, "service name"), "spec.json")
    spec: ServiceSpec | None = records.read(path, records.SERVICE)
    if spec is None:
        raise StateError(f"service {name}", "a service that was set up", f"no {path}", "Run the playbook mobius.ops.setup first")
    return service_for(layout, {"app": layout.app, **spec})  # one of before that folder has it from its next start on


def load_deployed(layout: Layout, name: str) -> Service:
    """The same. :raises StateError: also when this collection does not deploy it."""
    service = load(layout, name)
    if not service.deployed:
        raise StateError(
            f"service {name}",
            "a service that this collection deploys",
            "one that was adopted",
            "Deploy it as before; or leave out mobius_adopted, and run mobius.ops.setup on another mobius_root",
        )
    return service
