# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Two roots on one host, and two environments on one root."""

from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import systemd
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._service import definition
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target import tenancy
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.modules import deploy_lock, layout


def test_another_environment_on_a_root_is_refused_before_anything_changes(run_module, tmp_path, snapshot):
    root = str(tmp_path / "mobius")
    assert run_module(layout, {"root": root, "env": "production"})["changed"]
    assert not run_module(layout, {"root": root, "env": "production"})["changed"]
    before = snapshot(root)
    for check in (True, False):
        for module in (layout, deploy_lock):
            refused = run_module(module, {"root": root, "env": "local"}, check)
            assert refused["msg"] == (
                f"root {root}: expected the environment that it was set up for (production), found local. Use the inventory of production, "
                f"or another mobius_root. If this root is to become local, remove {root}/state/env.json and run mobius.ops.setup."
            )
    assert snapshot(root) == before
    os.unlink(f"{root}/state/env.json")
    assert run_module(layout, {"root": root, "env": "local"})["changed"]
    assert run_module(deploy_lock, {"root": root, "env": "local"})["changed"]


def test_a_root_of_an_earlier_version_gets_the_environment_of_its_next_setup(run_module, tmp_path, snapshot):
    root = str(tmp_path)
    run_module(layout, {"root": root})
    before = snapshot(root)
    assert run_module(layout, {"root": root, "env": "staging"}, check=True)["changed"] and snapshot(root) == before
    assert run_module(layout, {"root": root, "env": "staging"})["changed"]
    assert tenancy.environment(Layout(root)) == "staging"


@pytest.mark.parametrize("content", ["{", "[]", "7", '{"env": 1}'])
def test_a_damaged_file_is_one_sentence(run_module, tmp_path, content):
    run_module(layout, {"root": str(tmp_path)})
    (tmp_path / "state" / "env.json").write_text(content)
    assert str(tmp_path / "state" / "env.json") in run_module(layout, {"root": str(tmp_path), "env": "local"})["msg"]


@pytest.mark.parametrize("inner", ["inner", "shared/data/deep/inner"])
def test_a_root_inside_of_another_one_is_refused(run_module, tmp_path, inner):
    outer = str(tmp_path / "outer")
    run_module(layout, {"root": outer})
    refused = run_module(layout, {"root": f"{outer}/{inner}"})
    assert refused["msg"] == (
        f"root {outer}/{inner}: expected a folder apart from every other root, found the root {outer}. Correct mobius_root."
    )
    assert not os.path.exists(f"{outer}/{inner}")


def test_a_root_around_another_one_is_refused(run_module, tmp_path):
    run_module(layout, {"root": str(tmp_path / "inner")})
    assert f"found the root {tmp_path}/inner" in run_module(layout, {"root": str(tmp_path)})["msg"]
    assert os.listdir(tmp_path) == ["inner"]
    assert not run_module(layout, {"root": str(tmp_path / "beside")}).get("failed")


@pytest.mark.parametrize("root, mine", [("/opt/a", True), ("/opt/b", False), ("/opt", False), ("/a", False), ("/opt/a/shared", False)])
def test_a_unit_of_another_root_is_not_taken_over(tmp_path, monkeypatch, root, mine):
    monkeypatch.setattr(systemd, "UNIT_DIR", str(tmp_path))
    text = 'WorkingDirectory=/opt/a/app\nExecStart="/opt/a/lib/dotenv.py" "/opt/a/shared/config/.env"\nReadWritePaths="/srv/opt/b/data"\n'
    (tmp_path / "mobius.service").write_text(text)
    tenancy.require_own_units(Layout(root), ["other"])
    if mine:
        tenancy.require_own_units(Layout(root), ["mobius"])
    else:
        with pytest.raises(StateError, match=r"service mobius: expected a name that nothing else .* Give another mobius_service"):
            tenancy.require_own_units(Layout(root), ["other", "mobius"])


def test_the_proxys_port_of_another_root_is_refused_before_anything_changes(host, free_port, snapshot):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        options = {
            "host": "127.0.0.1",
            "user": None,
            "environment": None,
            "memory_max": None,
            "proxy_port": stranger.getsockname()[1],
            "standby_port": free_port(),
            "application_state": "shared",
            "drain_timeout": 1,
            "drain_force": True,
            "job_programs": [],
            "proxy_host": "127.0.0.1",
            "proxy_url": None,
            "proxy_certificate": None,
            "proxy_max_body": 1000,
            "proxy_max_connections": 50,
            "proxy_timeout": 60,
        }
        service = service_registry.service_for(host.layout, definition.build_spec(host.layout, host.params(**options)))
        before = snapshot(host.root)
        with pytest.raises(StateError, match=f"port {options['proxy_port']}: expected nobody or .* give another mobius_proxy_port"):
            service.require_definable()
    assert snapshot(host.root) == before
