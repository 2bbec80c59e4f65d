# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The defaults of a kind of application. A lookup, because a role's default is the only place that every setting of a user wins over."""

from __future__ import annotations

DOCUMENTATION = r"""
name: profile
short_description: The default of a setting in the profile of the application
version_added: 0.1.0
description:
  - Defaults of the role C(mobius.ops.mobius) that differ from one kind of application to another take their values by this lookup.
  - The profiles are the files in C(roles/mobius/defaults/profiles). The variable C(mobius_profile) names one of them.
author: MOBIUS operations (@mobius-ops)
options:
  _terms:
    description: Name of one setting.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the command that the profile has
  ansible.builtin.debug:
    msg: "{{ lookup('mobius.ops.profile', 'mobius_command') }}"
  vars:
    mobius_profile: node
"""

RETURN = r"""
_raw:
  description: The setting's value in that profile, with its templates filled in.
  type: list
  elements: raw
"""

import os
import typing as t

import ansible.template
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.mobius.ops.plugins.plugin_utils import own_yaml

FOLDER = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, "roles", "mobius", "defaults", "profiles")
#: From 2.19 on, ansible-core fills in only text that is marked as a template.
trusted = getattr(ansible.template, "trust_as_template", lambda text: text)


def names() -> list[str]:
    """Every profile."""
    return sorted(name[: -len(".yml")] for name in os.listdir(FOLDER) if name.endswith(".yml"))


def templates(value: t.Any) -> t.Any:
    """A value with all text in it as a template."""
    if isinstance(value, dict):
        return {key: templates(one) for key, one in value.items()}
    if isinstance(value, list):
        return [templates(one) for one in value]
    return trusted(value) if isinstance(value, str) else value


class LookupModule(LookupBase):
    """Look a setting up in the profile that the variables name."""

    def run(self, terms: list[str], variables: t.Mapping[str, object] | None = None, **_options: t.Any) -> list[t.Any]:
        """The value. :raises AnsibleError: when there is no such profile, or it does not have the setting."""
        (setting,) = terms
        name = str(self._templar.template((variables or {}).get("mobius_profile", "mobius")))
        if name not in names():
            raise AnsibleError(f"mobius_profile: expected one of {', '.join(names())}, found {name!r}. Correct it.")
        found = own_yaml.read(os.path.join(FOLDER, f"{name}.yml"))
        if setting not in found:
            raise AnsibleError(f"profile {name}: expected the setting {setting}, found none. Add it to the profile.")
        return [self._templar.template(templates(found[setting]))]
