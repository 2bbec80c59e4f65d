# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The manager of a service of one instance: systemd, or a supervisor of this collection."""
from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.module_utils import _service
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._service_process import ProcessService
from ansible_collections.mobius.ops.plugins.module_utils._service_systemd import SystemdService


def single_service(layout: Layout, spec: dict[str, t.Any]) -> _service.Service:
    """The service of a definition that has no slots."""
    return (SystemdService if spec["manager"] == "systemd" else ProcessService)(layout, spec)
