# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Charts of a watch, as SVG inside of a page: drawn by pygal, in the page's colours, without scripts.

Each is drawn twice, for wide and for narrow windows; the page's style sheet shows one of them. What a line or bar means is told by
its dashes or its pattern too, not by colour alone.
"""

from __future__ import annotations

import datetime
import math
import typing as t

from ansible_collections.mobius.ops.plugins.module_utils._core import clock as core_clock
from ansible_collections.mobius.ops.plugins.module_utils._core import html_page, wording
from ansible_collections.mobius.ops.plugins.module_utils._observe import host_metrics
from ansible_collections.mobius.ops.plugins.module_utils._watch.series_types import Point
from ansible_collections.mobius.ops.plugins.module_utils._watch.timeseries import OUTCOMES
from ansible_collections.mobius.ops.plugins.plugin_utils.chart_types import Mark

try:
    import pygal
    from pygal.style import Style
except ImportError:
    pygal = None

#: Name, width, height, and how many times the axis names.
SIZES = (("wide", 920, 250, 8), ("narrow", 340, 230, 4))
BARS = 60
#: How often the highest value a limit may be to be drawn: farther away it would flatten the curve.
IN_SIGHT = 1.6
DASHES = ("", "7,3", "2,3", "9,3,2,3", "4,4", "12,4")
COLOURS = len(DASHES)
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)

STYLE = """
:root { --c1: #1d5fbf; --c2: #a2500c; --c3: #6a4ba8; --c4: #0b7569; --c5: #a8264f; --c6: #566172; --grid: #dde2e9;
  --ok: #2f8a5b; --slow: #b98208; --partial: #c65a1e; --failed: #b3262b; --error: #7b4bb0; --no_data: #8b95a4 }
@media (prefers-color-scheme: dark) { :root { --c1: #7db1ff; --c2: #f0a35e; --c3: #bda4f5; --c4: #5fd0c0; --c5: #ff8fb0; --c6: #9ba7b8;
  --grid: #2d3644; --ok: #4fb682; --slow: #e0b13f; --partial: #f09a5a; --failed: #ff7f79; --error: #b792ea; --no_data: #7b8798 } }
figure { margin: 0 } figure + figure { margin-top: 1.3rem } figcaption { margin-bottom: .3rem }
.chart svg { display: block; width: 100%; height: auto } .chart.narrow { display: none }
@media (max-width: 40rem) { .chart.wide { display: none } .chart.narrow { display: block } }
.keys { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; margin-top: .4rem; padding: 0 }
.keys li { display: flex; align-items: center; gap: .45rem } .keys svg { flex: none }
.chart .mark path { stroke: var(--ink); stroke-width: 1.2 } .chart .mark text { fill: var(--ink); font-weight: 700 }
.hatches { position: absolute; width: 0; height: 0 }
""" + "".join(
    f".chart .outcome-{word} rect {{ fill: url(#hatch-{word}) !important; stroke: var(--{word}) !important; fill-opacity: 1 }}\n"
    for word in OUTCOMES
)

_HATCHES = {
    "ok": "",
    "slow": "M0 3h6",
    "partial": "M3 0v6",
    "failed": "M-1 1l2-2M0 6l6-6M5 7l2-2",
    "error": "M-1 5l2 2M0 0l6 6M5-1l2 2",
    "no_data": "M2 2h2v2h-2z",
}

#: The patterns that bars are filled with; once in a page.
PATTERNS = (
    '<svg class="hatches" aria-hidden="true"><defs>'
    + "".join(
        f'<pattern id="hatch-{word}" width="6" height="6" patternUnits="userSpaceOnUse">'
        f'<rect width="6" height="6" style="fill: var(--{word})"/>'
        + (f'<path d="{path}" style="stroke: var(--card); stroke-width: 1.6; fill: none"/>' if path else "")
        + "</pattern>"
        for word, path in _HATCHES.items()
    )
    + "</defs></svg>"
)

Line = tuple[str, list[tuple[float, float]]]


def seconds_of(when: str) -> float:
    """Seconds since 1970 of a time in a record."""
    return core_clock.parse(when).timestamp()


def clock(at: float, span: float) -> str:
    """A time for an axis, as short as the span allows, in UTC."""
    form = "%H:%M:%S" if span < 900 else "%H:%M" if span < 2 * 86400 else "%d %b %H:%M"
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime(form)


def _ticks(first: float, last: float, most: int) -> list[float]:
    """Round times for an axis, *most* of them at most."""
    step = next((step for step in _STEPS if (last - first) / step <= most), math.ceil((last - first) / 86400 / most) * 86400)
    begin = math.ceil(first / step) * step
    return [begin + step * number for number in range(int((last - begin) // step) + 1)]


def lines(
    name: str,
    title: str,
    told: str,
    unit: str,
    curves: list[Line],
    limits: t.Sequence[tuple[str, float]] = (),
    marks: t.Sequence[Mark] = (),
    top: float | None = None,
) -> str:
    """Curves over time; limits as level lines where they are in sight, marks as upright ones. Single points make no chart.

    :param name: a word that no other chart of the page has.
    :param top: the end of the axis, when it is known.
    """
    unit = wording.clean(unit)
    curves = [(wording.clean(key), points) for key, points in curves if len(points) > 1][:COLOURS]
    times = [at for _key, points in curves for at, _value in points]
    if not times:
        return ""
    highest = max(value for _key, points in curves for _at, value in points)
    seen = [(key, limit) for key, limit in limits if limit <= max(highest, 1e-9) * IN_SIGHT]
    hidden = ", ".join(f"{key} {host_metrics.quantity(limit, unit)}" for key, limit in limits if (key, limit) not in seen)
    first, last = _span([*times, *(mark["at"] for mark in marks)])
    end = top or max([highest, *(limit for _key, limit in seen)]) * 1.25 or 1
    level = [(key, [(first, limit), (last, limit)]) for key, limit in seen][: COLOURS - len(curves)]

    def draw(width: int, height: int, labels: int) -> t.Any:
        chart = _chart(
            pygal.XY,
            width,
            height,
            range=(0, end),
            xrange=(first, last),
            show_dots=len(times) <= 150,
            dots_size=2,
            x_value_formatter=lambda at: clock(at, last - first),
            value_formatter=lambda value: host_metrics.quantity(float(f"{value:.4g}"), unit),
            x_labels=_ticks(first, last, labels),
        )
        for at, (key, points) in enumerate([*curves, *level]):
            chart.add(key, points, stroke_style={"width": 2, "dasharray": DASHES[at]} if DASHES[at] else {"width": 2})
        return chart

    keys = [(key, _stroke(at)) for at, (key, _points) in enumerate([*curves, *level])]
    told += f" Beyond the chart: {hidden}." if hidden else ""
    return _figure(name, title, told, draw, keys, lambda root, width: _mark(root, marks, first, last))


def _span(times: list[float]) -> tuple[float, float]:
    """Both ends of an axis."""
    first, last = min(times), max(times)
    return (first, last) if last > first else (first - 1, last + 1)


def _stroke(at: int) -> str:
    """The line of a curve in the legend."""
    return f'<line x2="34" y1="5" y2="5" style="stroke: var(--c{at + 1}); stroke-width: 2.5; stroke-dasharray: {DASHES[at] or 0}"/>'


def bars(name: str, title: str, told: str, rounds: list[Point]) -> str:
    """Outcomes over time: a bar for some neighbouring rounds."""
    if not rounds:
        return ""
    size = math.ceil(len(rounds) / BARS)
    groups = [rounds[start : start + size] for start in range(0, len(rounds), size)]
    span = seconds_of(rounds[-1]["until"]) - seconds_of(rounds[0]["when"])
    counts = {word: [sum(found["outcomes"][word] for found in group) for group in groups] for word in OUTCOMES}
    shown = [word for word in OUTCOMES if any(counts[word])]
    names = [clock(seconds_of(group[0]["when"]), span) for group in groups]

    def draw(width: int, height: int, labels: int) -> t.Any:
        step = max(1, math.ceil(len(names) / labels))
        chart = _chart(
            pygal.StackedBar,
            width,
            height * 2 // 3,
            x_labels=[name if at % step == 0 else "" for at, name in enumerate(names)],
            value_formatter=lambda value: f"{value:g}",
            spacing=4 if len(names) < 30 else 1,
            y_labels_major_count=3,
            show_minor_y_labels=False,
        )
        for word in shown:
            chart.add(word, [{"value": count or None, "label": f"{name} {word}"} for name, count in zip(names, counts[word])])
        return chart

    def dress(root: t.Any, _width: int) -> None:
        for node in root.iter("g"):
            for at, word in enumerate(shown):
                if f"serie-{at} " in node.get("class", "") + " ":
                    node.set("class", node.get("class") + f" outcome-{word}")

    keys = [
        (
            f"{word.replace('_', ' ')} ({sum(counts[word]):,})",
            f'<rect width="34" height="10" style="fill: url(#hatch-{word}); stroke: var(--{word})"/>',
        )
        for word in shown
    ]
    return _figure(name, title, told, draw, keys, dress)


def _chart(kind: t.Any, width: int, height: int, **options: t.Any) -> t.Any:
    """An empty chart in the page's colours."""
    colours = tuple(f"var(--c{number})" for number in range(1, COLOURS + 1))
    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--soft)",
        foreground_strong="var(--soft)",
        foreground_subtle="var(--grid)",
        guide_stroke_color="var(--grid)",
        major_guide_stroke_color="var(--grid)",
        guide_stroke_dasharray="none",
        major_guide_stroke_dasharray="none",
        colors=colours,
        value_colors=colours,
        font_family="system-ui, sans-serif",
        label_font_size=12,
        major_label_font_size=12,
        no_data_font_size=14,
        transition="0s",
        stroke_opacity="1",
        stroke_width="1.8",
        opacity="1",
    )
    return kind(
        style=style,
        width=width,
        height=height,
        js=[],
        show_legend=False,
        explicit_size=False,
        disable_xml_declaration=True,
        margin=4,
        margin_right=28,
        truncate_label=-1,
        **options,
    )


def _figure(
    name: str,
    title: str,
    told: str,
    draw: t.Callable[[int, int, int], t.Any],
    keys: list[tuple[str, str]],
    dress: t.Callable[[t.Any, int], None],
) -> str:
    """The chart in both sizes, with its caption and its keys."""
    drawn = []
    for size, width, height, labels in SIZES:
        chart = draw(width, height, labels)
        chart.uuid = f"{name}-{size}"  # else a new one each time, and the page would never be the same
        chart.add_xml_filter(lambda root, width=width: _quiet(root, title, told, width, dress))
        drawn.append(f'<div class="chart {size}">{chart.render(is_unicode=True)}</div>')
    listed = "".join(f'<li><svg width="34" height="10" aria-hidden="true">{sign}</svg>{html_page.text(key)}</li>' for key, sign in keys)
    return (
        f'<figure><figcaption><b>{html_page.text(title)}</b> <span class="soft small">{html_page.text(told)}</span></figcaption>'
        + "".join(drawn)
        + f'<ul class="keys small">{listed}</ul></figure>'
    )


def _quiet(root: t.Any, title: str, told: str, width: int, dress: t.Callable[[t.Any, int], None]) -> t.Any:
    """Take away scripts, comments with addresses and a date, and what only scripts need; add what tells it to those who do not see it."""
    for parent in list(root.iter()):
        for node in list(parent):
            if not isinstance(node.tag, str) or node.tag == "script" or (node.tag == "g" and "tooltip" in node.get("class", "").split()):
                parent.remove(node)
        if isinstance(parent.tag, str) and parent is not root:
            parent.attrib.pop("id", None)
    name = root.get("id")
    (heading,) = [node for node in root if node.tag == "title"]
    heading.text = wording.clean(title)
    heading.set("id", f"{name}-title")
    description = root.makeelement("desc", {"id": f"{name}-desc"})
    description.text = wording.clean(told)
    root.insert(list(root).index(heading) + 1, description)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    _titles(root)
    dress(root, width)
    return root


def _titles(root: t.Any) -> None:
    """What is told about a point or bar becomes the title that a browser shows; where it lies is not needed any more."""
    for group in list(root.iter("g")):
        found = {node.get("class", "").split()[0]: node for node in group if node.tag == "desc" and node.get("class")}
        if "value" not in found:
            continue
        told = group.makeelement("title", {})
        told.text = ", ".join(found[key].text for key in ("label", "value") if key in found and found[key].text)
        for node in found.values():
            group.remove(node)
        group.insert(0, told)


def _mark(root: t.Any, marks: t.Sequence[Mark], first: float, last: float) -> None:
    """An upright line with its number for each mark."""
    (plot,) = [node for node in root.iter("g") if node.get("class") == "plot"]
    ground = next(node for node in plot if node.tag == "rect")
    width, height = float(ground.get("width")), float(ground.get("height"))
    group = plot.makeelement("g", {"class": "mark"})
    plot.append(group)
    before, level = -100.0, 0
    for mark in marks:
        x = width * (0.02 + (mark["at"] - first) / (last - first)) / 1.04  # pygal leaves a fiftieth free on both sides
        level = (level + 1) % 3 if x - before < 22 else 0
        before = x
        line = group.makeelement("path", {"d": f"M{x:.1f} {14 + 13 * level}V{height:.1f}", "style": f"stroke-dasharray: {mark['dashes']}"})
        text = group.makeelement("text", {"x": f"{x:.1f}", "y": f"{11 + 13 * level}", "text-anchor": "middle", "font-size": "13"})
        text.text = mark["sign"]
        group.append(line)
        group.append(text)
