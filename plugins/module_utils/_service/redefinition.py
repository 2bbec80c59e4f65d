# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service gets another definition: nothing that runs is lost sight of, and nothing is left of what is no longer defined."""

from __future__ import annotations

import shutil

from .._core.errors import StateError
from .._target.layout import Layout
from .._target.record_types import ServiceSpec
from . import node_service, registry


def saved(layout: Layout, name: str) -> node_service.Service | None:
    """The service as it was defined until now, or ``None``."""
    try:
        return registry.load(layout, name)
    except StateError:
        return None


def refuse_loss(old: node_service.Service | None, new: node_service.Service) -> None:
    """:raises StateError: when something runs that the new definition would neither serve from nor stop."""
    if old is None or _place(old.spec) == _place(new.spec):
        return
    if not old.deployed:
        raise StateError(
            f"service {new.name}",
            "a root without an adopted service",
            f"{old.name}, which was adopted",
            "Give another mobius_root, or mobius.ops.adopted_service with state absent first",
        )
    lost = [each for each in old.instances() if not _stays(each, old, new) and each.runs()]
    if lost:
        raise StateError(
            f"service {new.name}",
            f"that nothing of it runs when it is moved from {_words(old.spec)} to {_words(new.spec)}",
            " and ".join(f"{each.name} running on port {each.port}" for each in lost),
            "Nothing was changed. End it first: mobius.ops.stop, then mobius.ops.setup, then mobius.ops.restart",
        )


def clear(old: node_service.Service | None, new: node_service.Service) -> None:
    """Remove units and records that the new definition does not have."""
    if old is None or _place(old.spec) == _place(new.spec):
        return
    same = old.spec["manager"] == new.spec["manager"]
    kept = {new.name, *(part.name for part in new.parts())} if same else set()
    for part in [each for each in old.parts() if each.name not in kept]:
        part.discard()
        if part.name != new.name:  # where the definition itself is
            shutil.rmtree(part.folder, ignore_errors=True)
    old.forget()


def _place(spec: ServiceSpec) -> tuple[str, list[int], int]:
    """The manager, the ports of the instances, and the proxy's (0 without one)."""
    slots, proxy = spec.get("slots"), spec.get("proxy")
    return spec["manager"], slots or [spec["port"]], proxy["port"] if slots and proxy else 0


def _words(spec: ServiceSpec) -> str:
    manager, ports, proxy = _place(spec)
    front = f" behind the proxy on port {proxy}" if proxy else ""
    return f"port {' and '.join(map(str, ports))}{front} under {manager}"


def _stays(instance: node_service.Service, old: node_service.Service, new: node_service.Service) -> bool:
    """Whether the new definition still serves from an instance of the old one, and stops it.

    One that runs as the only service becomes the first instance, or stays what it is and takes another port with its next start.
    """
    if old.spec["manager"] != new.spec["manager"] or instance.name != new.name:
        return False
    return not new.spec["slots"] or instance.port == new.port
