# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(dotenv)."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError

from ansible_collections.mobius.ops.plugins.module_utils._core import dotenv as rules

DOCUMENTATION = r"""
name: dotenv
short_description: Write a dictionary as the text of a .env file
version_added: 0.1.0
author: MOBIUS operations (@mobius-ops)
description:
  - Makes one C(NAME=value) line of each key, sorted. Values are written so that systemd, dotenv and the collection's
    supervisor read them alike.
  - Booleans are written as C(true) and C(false). A key without a value (null) is left out.
positional: _input
options:
  _input:
    description: Names and values.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show a .env file
  ansible.builtin.debug:
    msg: "{{ {'PORT': 5001} | mobius.ops.dotenv }}"
"""

RETURN = r"""
_value:
  description: The text, with a line feed at its end.
  type: str
"""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def dotenv(values: t.Mapping[str, object]) -> str:
    """The text of a ``.env`` file. :raises AnsibleFilterError: for a name or value that such a file cannot hold."""
    if not isinstance(values, Mapping):
        raise AnsibleFilterError(f"mobius_dotenv: expected a dictionary of names and values, found {type(values).__name__}. Correct it.")
    lines = []
    for name in sorted(set(values) - set(left_out(values)), key=str):
        value = values[name]
        text = rules.text(value)
        if not NAME.fullmatch(str(name)):
            raise AnsibleFilterError(f"mobius_dotenv: expected names of letters, digits and _, found {name!r}. Correct it.")
        if any(letter in text for letter in "\0\n\r'\"\\") or text != text.strip():
            raise AnsibleFilterError(
                f"mobius_dotenv: expected a value of {name} on one line, without quotes, backslashes and outer "
                "blanks, found another. Encode it."
            )
        quote = "'" if "#" in text or "`" in text else ""  # the npm package dotenv ends a value at them
        lines.append(f"{name}={quote}{text}{quote}\n")
    return "".join(lines)


def left_out(values: t.Any) -> list[str]:
    """Names without a value."""
    return [name for name in values if values[name] is None] if isinstance(values, Mapping) else []


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> function."""
        return {"dotenv": dotenv}
