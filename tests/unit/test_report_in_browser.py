# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page about a watch in a real browser: no network, no complaint, nothing that is too wide, light and dark.

With ``MOBIUS_REPORT_PICTURES=folder`` the pictures are kept there, to be looked at.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from support import watches
from support.browser import Browser, program

from ansible_collections.mobius.ops.plugins.module_utils._target import incidents
from ansible_collections.mobius.ops.plugins.module_utils._watch import report as watch_report
from ansible_collections.mobius.ops.plugins.plugin_utils import watch_page

pytestmark = pytest.mark.skipif(
    not program() and not os.environ.get("CI"), reason="no Chromium here: apt-get install chromium, to look at the page in a browser"
)

#: Elements of the page that reach out of the window, those in a part that scrolls left out.
TOO_WIDE = """[...document.querySelectorAll("main *")].filter(node => !node.closest(".wide") && !node.closest("svg")
    && node.getBoundingClientRect().right > innerWidth + 0.5).map(node => node.outerHTML.slice(0, 80))"""
#: Elements whose text is drawn in a colour that is too near to that of the ground around it (WCAG AA, 4.5 to 1).
TOO_FAINT = """(() => {
    const light = text => text.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [.2126, .7152, .0722][at], 0);
    const ground = node => { while (node) { const found = getComputedStyle(node).backgroundColor;
        if (!/, 0\\)$|transparent/.test(found)) return found; node = node.parentElement } return "rgb(255, 255, 255)" };
    const said = node => [...node.childNodes].some(part => part.nodeType === 3 && part.data.trim());
    return [...document.querySelectorAll("main *")].filter(said)
        .filter(node => !["title", "desc", "style"].includes(node.tagName)).filter(node => {
            const style = getComputedStyle(node), inside = node.closest("svg");
            const both = [light(inside ? style.fill : style.color), light(ground(node))].sort((one, other) => other - one);
            return (both[0] + .05) / (both[1] + .05) < 4.5 }).map(node => node.outerHTML.slice(0, 80)) })()"""


@pytest.fixture
def browser():
    """A browser with nothing in it; gone after the test."""
    command = program()
    assert command, "no Chromium here, and in CI it has to be: apt-get install chromium"
    made = Browser(command)
    yield made
    made.close()


@pytest.fixture
def page(host, tmp_path):
    """Writes the page of a watch that has everything, and a hostile text; its address."""

    def write(trigger="3 consecutive failed rounds (health: status 500 instead of 200)"):
        record = incidents.open_incident(
            host.layout,
            {
                "title": "Release v2 was rolled back to v1",
                "severity": 2,
                "env": "test",
                "release": "v2",
                "summary": trigger,
                "evidence": {"application_log": ["GET /health 500 " + "x" * 300, "<script>console.error('inert?')</script>"]},
            },
        )
        os.unlink(host.layout.history)
        watches.put(
            host,
            verdict="rolled_back",
            trigger=trigger,
            incident=record["id"],
            baseline={"health": {"p50_ms": 4.2}},
            rollback={"from": "v2", "to": "v1", "elapsed": 3.1, "downtime": 0.8},
        )
        path = tmp_path / "watch.html"
        path.write_text(watch_page.render(watch_report.gather(host.layout)), encoding="utf-8")
        return path.as_uri()

    return write


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_it_looks_as_it_should(browser, page, width, dark):
    address = page()
    browser.show(address, width, dark)
    picture = browser.picture()
    if os.environ.get("MOBIUS_REPORT_PICTURES"):
        Path(os.environ["MOBIUS_REPORT_PICTURES"], f"report-{width}-{'dark' if dark else 'light'}.png").write_bytes(picture)
    assert struct.unpack(">I", picture[16:20])[0] == width
    assert (browser.requests(), browser.complaints()) == ([address], [])
    assert browser.tell("document.documentElement.scrollWidth") == width and browser.tell(TOO_WIDE) == []
    assert browser.tell(TOO_FAINT) == []
    shown = browser.tell('[...document.querySelectorAll(".chart")].filter(node => node.offsetHeight > 50).map(node => node.className)')
    assert shown == [f"chart {'narrow' if width == 360 else 'wide'}"] * 3
    ground = browser.tell("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(17, 22, 29)") is dark


def test_hostile_text_does_nothing(browser, page):
    address = page("</style><img src=http://127.0.0.1:9/x onerror=\"document.title='owned'\"><script>document.title='owned'</script>")
    browser.show(address, 800, False)
    assert (browser.requests(), browser.complaints()) == ([address], [])
    assert browser.tell("document.title").startswith("Rolled back: release v1 serves")
    assert browser.tell("document.querySelectorAll('script, img').length") == 0
    assert "</style><img src=" in browser.tell("document.querySelector('header').textContent")
