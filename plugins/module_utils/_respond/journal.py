# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was done about alerts, in ``state/responses.json``: it outlives the rulebook, its controller, and a response that is killed."""

from __future__ import annotations

import dataclasses
import datetime

from .._core import clock, fs
from .._target import records
from .._target.layout import Layout

#: Responses that are kept.
KEPT = 100


@dataclasses.dataclass(frozen=True)
class Response:
    """One response to an alert."""

    when: str
    alert: str
    cause: str
    #: What was begun, in order.
    actions: tuple[str, ...]
    #: ``begun`` until its end is known.
    outcome: str
    incident: str = ""

    def moment(self) -> datetime.datetime:
        """When it began."""
        return clock.parse(self.when)

    def did(self) -> str:
        """What was begun, in words."""
        return " and ".join(self.actions) + " was tried"


class Journal:
    """The responses of one host. The caller has the deploy lock."""

    def __init__(self, layout: Layout) -> None:
        self.path = layout.path("state", "responses.json")

    def all(self) -> list[Response]:
        """Every response that is kept, oldest first."""
        told = records.read(self.path, records.RESPONSES) or []
        return [
            Response(each["when"], each["alert"], each["cause"], tuple(each["actions"]), each["outcome"], each.get("incident") or "")
            for each in told
        ]

    def since(self, seconds: float) -> list[Response]:
        """Those of the last *seconds*. One of the future counts too: the clock was set back."""
        now = clock.now()
        return [each for each in self.all() if (now - each.moment()).total_seconds() < seconds]

    def write(self, response: Response) -> Response:
        """Add a response, or write down how the newest one goes on."""
        others = [each for each in self.all() if (each.when, each.cause) != (response.when, response.cause)]
        kept = [dataclasses.asdict(each) for each in [*others, response][-KEPT:]]
        fs.write_json(self.path, kept, 0o600)
        return response
