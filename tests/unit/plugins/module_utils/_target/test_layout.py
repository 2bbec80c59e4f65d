# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names and paths below the root."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._target import layout as target_layout


@pytest.mark.parametrize("name", ["1.4.0", "v2_x-1", "a", "x" * 64])
def test_good_names(name):
    assert target_layout.check_name(name, "version") == name


@pytest.mark.parametrize("name", ["", None, ".hidden", "-x", "a/b", "..", "a b", "a\n", "x" * 65, "ü", "a\0"])
def test_bad_names_cannot_become_paths(name):
    with pytest.raises(InputError, match="letters, digits"):
        target_layout.check_name(name, "version")
    with pytest.raises(InputError):
        target_layout.Layout("/opt/x").release(name)


def test_components_are_ordered_and_unknown_ones_named():
    assert target_layout.expand_components(["logs", "config"]) == ["config", "logs"]
    assert target_layout.expand_components(["all"]) == list(target_layout.COMPONENTS)
    with pytest.raises(InputError, match="found 'cache'"):
        target_layout.expand_components(["cache", "logs"])
    with pytest.raises(InputError, match="an empty list"):
        target_layout.expand_components([])


def test_paths():
    layout = target_layout.Layout("/opt/x/../mobius/")
    assert layout.root == "/opt/mobius"
    assert layout.current == "/opt/mobius/current"
    assert layout.history == "/opt/mobius/state/history.jsonl"
    assert layout.env_file == "/opt/mobius/shared/config/.env"
    assert layout.component("generated") == "/opt/mobius/shared/out"
    assert layout.folders()[0] == layout.root and layout.state in layout.folders()
    with pytest.raises(AttributeError):
        layout.nothing  # noqa: B018


def test_a_host_that_was_not_set_up_is_told_so(tmp_path):
    with pytest.raises(StateError, match=r"Run the playbook mobius\.ops\.setup first"):
        target_layout.Layout(str(tmp_path)).require()
