# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The job escalate: what the playbook escalate does on a host."""

from __future__ import annotations

from .._people import service
from .._target.layout import Layout
from .ended import Ended, Wanted


def page(layout: Layout, _wanted: Wanted) -> Ended:
    """Page every level that is due, and send what waits."""
    _changed, found, _diff = service.escalated(layout)
    good = bool(found["delivered"])
    return Ended("not_delivered" if not good else "paged" if found["sent"] else "quiet", found["message"], good)
