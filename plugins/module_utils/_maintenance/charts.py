# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Charts as inline SVG, drawn with the colours of the page: a figure over its runs, and a disk with its forecast."""

from __future__ import annotations

import datetime
import typing as t

from .._core import wording
from .._core.html_page import text
from .forecast import DiskFacts, ForecastFacts

STYLE = """
.spark { width: 9rem; height: 2.2rem; vertical-align: middle } .spark path, .disk .used { fill: none; stroke: var(--bar); stroke-width: 2 }
.spark circle, .disk circle { fill: var(--bar) } .trend { display: flex; flex-wrap: wrap; gap: .4rem 1.6rem; margin: .5rem 0 }
.trend figure { margin: 0 } .trend figcaption { font-size: .8rem; color: var(--soft) }
.disk { width: 100%; min-width: 34rem; height: auto; display: block } .disk text { fill: var(--soft); font-size: 12px }
.disk .grid { stroke: var(--line) } .disk .full { stroke: var(--bad); stroke-dasharray: 6 4 } .disk .line { stroke: var(--bar); fill: none;
  stroke-width: 2; stroke-dasharray: 5 4 } .disk .band { fill: var(--bar); opacity: .16 }
.disk .today { stroke: var(--soft); stroke-dasharray: 2 3 }
.disk .bad { fill: var(--bad) }
"""
_WIDTH, _HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 16, 34, 28
#: Days that are drawn at most of the future.
_FUTURE = 365


def spark(points: t.Sequence[t.Sequence[t.Any]], caption: str) -> str:
    """A small line of a figure; nothing when there are fewer than two."""
    values = [float(point[1]) for point in points][-30:]
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    reach = high - low or 1
    places = [(4 + 136 * at / (len(values) - 1), 30 - 24 * (value - low) / reach if high > low else 18) for at, value in enumerate(values)]
    line = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return (
        f'<figure><svg class="spark" viewBox="0 0 144 36" role="img" aria-label="{text(caption)}"><path d="{line}"/>'
        f'<circle cx="{places[-1][0]:.1f}" cy="{places[-1][1]:.1f}" r="3"/></svg><figcaption>{text(caption)}</figcaption></figure>'
    )


class _Plane:
    """Where a day and a number of bytes are drawn."""

    def __init__(self, first: float, last: float, most: float) -> None:
        self.first, self.last, self.most = first, max(last, first + 1), most or 1

    def x(self, day: float) -> float:
        """Of a day."""
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (day - self.first) / (self.last - self.first)

    def y(self, used: float) -> float:
        """Of bytes; what is more than the picture shows is at its top."""
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - min(max(used, 0), self.most) / self.most)

    def at(self, day: float, used: float) -> str:
        """Both."""
        return f"{self.x(day):.1f} {self.y(used):.1f}"


def disk(facts: DiskFacts) -> str:
    """A file system with its days so far, what it holds, and its forecast with the interval."""
    found, samples = facts["forecast"], facts["samples"]
    now = int(samples[-1][0]) if samples else datetime.date.today().toordinal()
    drawn = found["kind"] in ("fills", "uncertain")
    latest = found["latest"] if found["latest"] is not None else found["days"]
    ahead = min(_FUTURE, max(14.0, 1.15 * max(latest or 0, found["days"] or 0))) if drawn else 14.0
    plane = _Plane(samples[0][0] if samples else now - 7, now + ahead, facts["size"] * 1.02)
    parts = [*_axes(plane, facts["size"], now)]
    if len(samples) > 1:
        parts.append(f'<path class="used" d="M{" L".join(plane.at(day, used) for day, used in samples)}"/>')
    parts.append(f'<circle cx="{plane.x(now):.1f}" cy="{plane.y(facts["used"]):.1f}" r="4"/>')
    if drawn:
        parts += _future(plane, facts["used"], facts["size"], found, now, ahead)
    caption = f"{facts['mount']} {facts['told']}"
    return (
        f'<div class="wide"><svg class="disk" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(caption)}">'
        + "".join(parts)
        + "</svg></div>"
    )


def _axes(plane: _Plane, size: float, now: int) -> t.Iterator[str]:
    for share in (0.0, 0.25, 0.5, 0.75):
        y = plane.y(size * share)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f} H{_WIDTH - _RIGHT}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{wording.human_size(size * share)}</text>'
    y = plane.y(size)
    yield f'<path class="full" d="M{_LEFT} {y:.1f} H{_WIDTH - _RIGHT}"/><text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">full</text>'
    yield f'<path class="today" d="M{plane.x(now):.1f} {_TOP} V{_HEIGHT - _BOTTOM}"/>'
    far = plane.x(plane.last) - plane.x(now) > 90
    for day, anchor in (
        (plane.first, "start"),
        *(((now, "middle"),) if plane.x(now) - plane.x(plane.first) > 90 else ()),
        *(((plane.last, "end"),) if far else ()),
    ):
        name = "today" if day == now else datetime.date.fromordinal(int(day)).strftime("%d %b %Y")
        yield f'<text x="{plane.x(day):.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{name}</text>'


def _future(plane: _Plane, used: float, size: float, found: ForecastFacts, now: int, ahead: float) -> t.Iterator[str]:
    """The interval as a band, the forecast as a line, and the day when it meets the top."""
    edge: list[tuple[float, float]] = [(now, used)]
    for rate in (found["fastest"], found["slowest"]):
        days = min(ahead, (size - used) / rate) if rate > 0 else ahead
        points: list[tuple[float, float]] = [(now + days, used + rate * days)] + ([(now + ahead, size)] if days < ahead else [])
        edge = edge + points if rate == found["fastest"] and len(edge) == 1 else edge + points[::-1]
    yield f'<path class="band" d="M{" L".join(plane.at(day, value) for day, value in edge)} Z"/>'
    days = min(ahead, found["days"]) if found["days"] is not None else ahead
    yield f'<path class="line" d="M{plane.at(now, used)} L{plane.at(now + days, used + found["rate"] * days)}"/>'
    if found["days"] is not None and found["days"] <= ahead:
        x = plane.x(now + found["days"])
        anchor = "end" if x > _WIDTH - 90 else "middle"
        yield f'<circle class="bad" cx="{x:.1f}" cy="{plane.y(size):.1f}" r="4"/>'
        day = (datetime.date.fromordinal(now) + datetime.timedelta(days=found["days"])).strftime("%d %b %Y")
        yield f'<text x="{x:.1f}" y="{plane.y(size) - 12:.1f}" text-anchor="{anchor}">about {day}</text>'
