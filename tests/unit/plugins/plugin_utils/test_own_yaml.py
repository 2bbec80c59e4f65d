# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection's own YAML is read as YAML, and once."""

from __future__ import annotations

import pytest
import yaml
from support.playbooks import ROOT

from ansible_collections.mobius.ops.plugins.plugin_utils import own_yaml

OURS = [*ROOT.glob("roles/*/defaults/profiles/*.yml"), *ROOT.glob("roles/*/meta/argument_specs.yml")]


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_file_says(path):
    assert own_yaml.read(str(path)) == yaml.safe_load(path.read_text())


def test_a_file_is_read_once(tmp_path):
    path = tmp_path / "some.yml"
    path.write_text("a: [1, {b: text}]\n")
    found = own_yaml.read(str(path))
    path.unlink()
    assert found == {"a": [1, {"b": "text"}]} and own_yaml.read(str(path)) is found
