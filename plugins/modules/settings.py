#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: settings
short_description: Check a role's settings and tell each mistake in one sentence
version_added: 0.1.0
description:
  - Holds the variables of a run against a role's C(meta/argument_specs.yml), on the controller.
  - It checks what Ansible's own validation checks (types, as strings from surveys too, elements and choices), and
    leaves the specification out of the message.
  - It refuses variables that begin with C(mobius_) and that no role or playbook of the collection has, and unknown fields in lists such as
    C(mobius_checks), and names the one that was probably meant.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.reads_only
options:
  spec:
    description: Path of the C(argument_specs.yml) on the controller.
    type: path
    required: true
  entry_point:
    description: The entry point in it. Another name than V(main) keeps Ansible from validating it before.
    type: str
    default: main
"""

EXAMPLES = r"""
- name: Refuse mistyped settings
  mobius.ops.settings:
    spec: "{{ role_path }}/meta/argument_specs.yml"
    entry_point: settings
"""

RETURN = r"""
checked:
  description: How many settings were checked.
  returned: success
  type: int
"""
