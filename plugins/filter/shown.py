# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(shown)."""

from __future__ import annotations

import typing as t

from ansible import constants

DOCUMENTATION = r"""
name: shown
short_description: A text of several lines in the form that Ansible's output shows best
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Results are shown as JSON by default. In it a text of several lines is one long line, so this gives a list of lines.
  - With C(callback_result_format = yaml) a text is shown as it is, so it stays one.
options:
  _input:
    description: The text.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the page
  ansible.builtin.debug:
    msg: "{{ found.page | mobius.ops.shown }}"
"""

RETURN = r"""
_value:
  description: The text, or its lines.
  type: raw
"""


def shown(text: str) -> str | list[str]:
    """The text, or its lines where results are shown as JSON."""
    form = constants.config.get_config_value("result_format", plugin_type="callback", plugin_name="default")
    return text if form == "yaml" else text.splitlines()


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"shown": shown}
