# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the charts of a watch's page are given, for mypy: at run time each of them is a dictionary."""

from __future__ import annotations

import typing as t


class Mark(t.TypedDict):
    """An upright line in a chart: at so many seconds since 1970, with its number, its name, its dashes and a remark."""

    at: float
    when: str
    sign: str
    name: str
    dashes: str
    text: str
