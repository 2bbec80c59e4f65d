# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(health_page)."""

from __future__ import annotations

import typing as t

from ansible_collections.mobius.ops.plugins.filter.status_page import table
from ansible_collections.mobius.ops.plugins.module_utils._observe import thresholds
from ansible_collections.mobius.ops.plugins.module_utils._observe.samples import Endpoint

DOCUMENTATION = r"""
name: health_page
short_description: Lay out what the endpoints answered as a page of text
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Makes a table for people of what M(mobius.ops.health_check) returned, and says in one sentence what is wrong.
positional: _input, public
options:
  _input:
    description: The result of M(mobius.ops.health_check), from the target.
    type: dict
    required: true
  public:
    description: The same through the public address, or the result of a task that was skipped.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show how the endpoints are
  ansible.builtin.debug:
    msg: "{{ (health_instance | mobius.ops.health_page).page }}"
"""

RETURN = r"""
_value:
  description:
    - C(page), the text; C(message), one sentence; C(well), whether nothing is critical or unknown; C(faulty), the names of the
      endpoints that are not normal.
  type: dict
"""

HEAD = ["endpoint", "from", "status", "requests", "errors", "p50", "p95", "max", "certificate", "what is wrong"]
WRONG = 100


class Health(t.TypedDict, total=False):
    """The result of M(mobius.ops.health_check); none of a task that was skipped."""

    endpoints: list[Endpoint]


def wrong(one: Endpoint) -> str:
    """What is wrong with an endpoint: its first fault, or else the figures that may be the reason."""
    if one["evidence"]:
        return f"{one['requests'] - one['outcomes']['ok']} of {one['requests']}: {one['evidence'][0]['error']}"[:WRONG]
    if one["status"] == "normal":
        return ""
    figures = [("p95", with_unit(one["p95_ms"], "ms")), ("certificate", with_unit(one["certificate_days"], "days"))]
    return ", ".join(f"{name} {text}" for name, text in figures if text)


def with_unit(number: float | None, unit: str) -> str | None:
    """A figure, or nothing."""
    return None if number is None else f"{number:g} {unit}"


def row(one: Endpoint, place: str) -> list[t.Any]:
    """A line of the table."""
    figures = [with_unit(each, "ms") for each in (one["p50_ms"], one["p95_ms"], one["max_ms"])]
    return [
        one["check"],
        place,
        one["status"],
        one["requests"],
        with_unit(one["error_rate_pct"], "%"),
        *figures,
        with_unit(one["certificate_days"], "days"),
        wrong(one),
    ]


def health_page(instance: Health, public: Health | None = None) -> dict[str, object]:
    """The table with the endpoints in the order of the checks, and what comes of it."""
    asked: dict[str, Health] = {"the instance": instance, "outside": public or {}}
    found = [(place, one) for place, result in asked.items() for one in result.get("endpoints") or []]
    faulty = [(place, one) for place, one in found if one["status"] != "normal"]
    faulty.sort(key=lambda pair: -thresholds.ORDER.index(pair[1]["status"]))
    message = f"all {len(found)} endpoints are well."
    if faulty:
        place, worst = faulty[0]
        others = f", and {len(faulty) - 1} more" if len(faulty) > 1 else ""
        message = f"{worst['check']} from {place} is {worst['status']} ({wrong(worst)}){others}, of {len(found)} endpoints."
    return {
        "page": "\n".join(table(HEAD, [row(one, place) for place, one in found])),
        "message": message,
        "well": bool(found) and not any(one["status"] in ("critical", "unknown") for _place, one in found),
        "faulty": list(dict.fromkeys(one["check"] for _place, one in faulty)),
    }


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"health_page": health_page}
