# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The headings that messages name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._people import runbook

PAGE = (Path(__file__).resolve().parents[5] / "docs" / "runbook.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "heading", [*(name for _cause, name in runbook.HEADINGS), *(runbook.heading("", number) for number in range(1, 5))]
)
def test_the_page_has_each_heading(heading):
    assert re.search(rf"^#+ {re.escape(heading)}$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "cause", "link"),
    [
        ("", "service_down", "docs/runbook.md#application-not-responding"),
        ("", "release v2-1a2b3c4d", "docs/runbook.md#post-rollback-actions"),
        ("https://x/r.html", "disk_critical:/opt", "https://x/r.html#key-metrics"),
        ("https://x/r.html", "", "https://x/r.html#severity-2-high"),
        ("", "renders", "docs/runbook.md#severity-2-high"),
    ],
)
def test_the_link_of_a_cause(page, cause, link):
    assert runbook.link(page, cause, 2) == link
