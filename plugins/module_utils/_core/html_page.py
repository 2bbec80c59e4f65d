# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pages of HTML are made of: a style sheet for light and dark, and parts that escape what they are given."""

from __future__ import annotations

import html
import typing as t

from . import wording

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #566172; --line: #dde2e9; --ground: #f4f6f9; --card: #fff;
  --good: #12703f; --good-ground: #e2f4ea; --bad: #ab1f24; --bad-ground: #fde9e8; --bar: #3f74c9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f1; --soft: #9ba7b8; --line: #2d3644; --ground: #11161d; --card: #1a212b;
  --good: #6bd79b; --good-ground: #12301f; --bad: #ff9d98; --bad-ground: #3d1719; --bar: #6fa0ee; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 3rem }
section, header { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1.1rem 1.3rem }
section, header { margin-bottom: 1rem }
header.passed { background: var(--good-ground); border-color: var(--good) }
header.failed { background: var(--bad-ground); border-color: var(--bad) }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem }
.passed h1, .good { color: var(--good) } .failed h1, .bad { color: var(--bad) }
h2 { font-size: 1.05rem; margin: 0 0 .6rem } p { margin: .3rem 0 } .soft { color: var(--soft) } .small { font-size: .875rem }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1rem; margin-bottom: 1rem }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem }
.figures b { display: block; font-size: 1.45rem; line-height: 1.3 }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem .4rem 0; border-top: 1px solid var(--line) }
td:last-child, th:last-child { padding-right: 0 }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: .875rem } tbody th { font-weight: 600 }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } .status { white-space: nowrap }
.bar { display: block; height: .35rem; margin-top: .35rem; border-radius: .2rem; background: var(--bar); min-width: 2px }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .35rem 1.2rem; margin: 0 } dt { color: var(--soft) }
dd { margin: 0; overflow-wrap: anywhere } code, pre { font-family: ui-monospace, monospace; font-size: .875rem }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; padding: .8rem; background: var(--ground); border-radius: .4rem }
ul { margin: 0; padding-left: 1.2rem }
li { overflow-wrap: anywhere }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .5rem } .did { display: none }
  section, header { padding: .9rem } }
@media print { body { background: none } section, header, .figures div { break-inside: avoid } }
"""


def text(value: t.Any) -> str:
    """A text that is nothing but text in HTML."""
    return html.escape(wording.clean(str(value)))


def seconds(value: float | None) -> str:
    """``3.2 s`` or ``12 min``; empty for ``None``."""
    if value is None:
        return ""
    return f"{value:.1f} s" if value < 120 else wording.duration(value)


def count(number: int, one: str) -> str:
    """``1 file`` or ``2 files``."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def document(title: str, parts: t.Iterable[str], more_style: str = "") -> str:
    """The page: its title, and parts that are HTML already. Empty ones are left out."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}{more_style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def header(mood: str, title: str, told: str, where: str) -> str:
    """The headline, the sentence below it, and what it is about. *mood*: ``passed``, ``failed`` or none."""
    return f'<header class="{mood}"><h1>{text(title)}</h1><p>{text(told)}</p><p class="soft small">{text(where)}</p></header>'


def figures(tiles: t.Iterable[tuple[str, str, str]]) -> str:
    """Tiles of a name, a figure and a remark."""
    return (
        '<div class="figures">'
        + "".join(
            f'<div><span class="soft small">{text(name)}</span><b>{text(value)}</b><span class="soft small">{text(more)}</span></div>'
            for name, value, more in tiles
        )
        + "</div>"
    )


def table(head: t.Sequence[str], rows: t.Iterable[str], numbers: t.Container[int] = ()) -> str:
    """A table of rows that are HTML already; *numbers*: the columns with figures."""
    cells = "".join(f'<th scope="col"{" class=number" if column in numbers else ""}>{text(name)}</th>' for column, name in enumerate(head))
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def section(title: str, body: str) -> str:
    """A part with its heading; the body is HTML already."""
    return f"<section><h2>{text(title)}</h2>{body}</section>"


def definitions(rows: t.Iterable[tuple[str, t.Any]]) -> str:
    """Names and values; those without a value are left out."""
    return "<dl>" + "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in rows if value) + "</dl>"
