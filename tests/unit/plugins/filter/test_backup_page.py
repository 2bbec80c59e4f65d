# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter backup_page."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.filter import backup_page


def backup(name, **facts):
    return {
        "archive": f"/b/{name}.zip",
        "created": "C",
        "size": 1500,
        "release": "v1",
        "status": "verified",
        "reason": "",
        "purpose": "ordinary",
        "why": "",
        **facts,
    }


def test_a_line_an_archive_in_columns():
    page = backup_page.backup_page(
        [
            backup("new"),
            backup("a_longer_name", status="corrupt", reason="bad CRC", release=None),
            backup("gone", size=None, status="unverified", reason="it cannot be read", purpose="safety", why="before the restore of a.zip"),
        ]
    )
    assert page.splitlines() == [
        "In /b",
        "  archive            created  size    release  status      reason             for",
        "  new.zip            C        1.5 kB  v1       verified                       ordinary",
        "  a_longer_name.zip  C        1.5 kB  -        corrupt     bad CRC            ordinary",
        "  gone.zip           C        -       v1       unverified  it cannot be read  safety: before the restore of a.zip",
    ]


def test_no_archive():
    assert backup_page.backup_page([]) == "  none"


def test_the_filter_is_found_by_its_name():
    assert backup_page.FilterModule().filters()["backup_page"] is backup_page.backup_page
