# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restart a service on its live release, behind a proxy without a lost request."""

from __future__ import annotations

import time

from .._service.ongoing_work import Work
from .deploy_types import Served
from .switch import Running


def restart(way: Running) -> Served:
    """Start the live release in a new process and wait until it is ready.

    Where a proxy stands in front of a running instance, the requests go on. Where there is none, nothing runs, or another switch
    is in its midst, the service is stopped and started.

    :returns: seconds: ``ready_after``, ``downtime`` (``None`` when it did not run before), ``held`` (requests waited in the proxy); and the
        work that was ``cut``.
    :raises OpsError: when work does not end in time and may not be cut, or it does not become ready; the sentence says what serves.
    """
    live, way = way.store.live(), way.leaving()
    done = way.lossless(live) if live else None
    if done:
        return done
    ran = way.service.status()["pid"]
    cut = way.rest() if ran else Work()
    began = time.monotonic()
    way.service.restart()
    ready_after = way.ready(live) if way.checks else None
    downtime = round(time.monotonic() - began, 2) if ran else None
    return {"ready_after": ready_after, "held": 0.0, "downtime": downtime, "cut": cut.facts()}
