# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service gets another definition: nothing is left of what is no longer defined."""
from __future__ import annotations

import shutil
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _service
from ansible_collections.mobius.ops.plugins.module_utils._errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout


def saved(layout: Layout, name: str) -> _service.Service | None:
    """The service as it was defined until now, or ``None``."""
    try:
        return _service.load(layout, name)
    except StateError:
        return None


def clear(old: _service.Service | None, new: _service.Service) -> None:
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


def _place(spec: dict[str, t.Any]) -> tuple[str, list[int], int]:
    """The manager, the ports of the instances, and the proxy's (0 without one)."""
    slots = spec.get("slots")
    return spec["manager"], slots or [spec["port"]], spec["proxy"]["port"] if slots else 0
