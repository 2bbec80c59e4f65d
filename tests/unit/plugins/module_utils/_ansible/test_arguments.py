# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a module leaves with an error: the sentence, what to do, and whether the request was wrong."""

from __future__ import annotations

import types

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError


@pytest.mark.parametrize(
    ("error", "more"),
    [
        (InputError("components", "some of all", "'databse'", "Correct the list"), {"remedy": "Correct the list", "refused": True}),
        (StateError("root /opt/mobius", "a host that was set up", "none", "Run setup"), {"remedy": "Run setup"}),
        (StateError("port 5001: somebody listens there"), {}),
    ],
)
def test_only_a_wrong_request_is_refused(run_module, error, more):
    def run(_params, _check_mode):
        raise error

    module = types.SimpleNamespace(main=lambda: arguments.execute(AnsibleModule(argument_spec={}), run))
    result = run_module(module, {})
    assert result["failed"] and result["msg"] == str(error)
    assert {name: result[name] for name in ("remedy", "refused") if name in result} == more
