# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(rebase)."""

from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: rebase
short_description: Send checks to another address of the same service
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Replaces the beginning of the URL of each check. A check of anything else than that service is left out.
positional: _input, old, new, ca
options:
  _input:
    description: Checks, as M(mobius.ops.health_check) takes them.
    type: list
    elements: dict
    required: true
  old:
    description: With what the URLs begin.
    type: str
    required: true
  new:
    description: With what they are to begin.
    type: str
    required: true
  ca:
    description: The C(ca) of checks that have none.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: The same from outside
  mobius.ops.health_check:
    checks: "{{ mobius_smoke_checks | mobius.ops.rebase('http://127.0.0.1:5001', 'https://mobius.example.com') }}"
"""

RETURN = r"""
_value:
  description: The checks of that service.
  type: list
  elements: dict
"""


class Given(t.TypedDict):
    """A check as it was given, with any other fields."""

    url: str


def rebase(checks: list[Given], old: str, new: str, ca: str = "") -> list[dict[str, object]]:
    """The checks below *old*, below *new*; with *ca* where they name none."""
    old, new = old.rstrip("/"), new.rstrip("/")
    rests = [(check, check["url"][len(old) :]) for check in checks if check["url"].startswith(old)]
    trust = {"ca": ca} if ca else {}
    return [{**trust, **check, "url": new + rest} for check, rest in rests if not rest or rest[0] in "/?#"]


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"rebase": rebase}
