# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module layout."""

from __future__ import annotations

import os
import pwd

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.modules import layout


def mode(path):
    return os.stat(path).st_mode & 0o777


def test_folders_are_made_once(run_module, tmp_path, snapshot):
    root = tmp_path / "deep" / "mobius"
    first = run_module(layout, {"root": str(root)})
    assert first["changed"] and first["folders"] == Layout(str(root)).folders()
    assert all(os.path.isdir(path) for path in first["folders"])
    assert mode(root / "backups") == mode(root / "state") == 0o700
    assert mode(root / "shared/config") == mode(root / "shared/uploads") == 0o750 and mode(root / "releases") == 0o755
    assert mode(root / "incidents") == mode(root / "monitor_logs") == 0o750
    before = snapshot(root)
    second = run_module(layout, {"root": str(root)})
    assert not second["changed"] and snapshot(root) == before
    assert second["diff"]["before"] == second["diff"]["after"]


def test_check_mode_makes_nothing_and_tells(run_module, tmp_path):
    result = run_module(layout, {"root": str(tmp_path / "mobius")}, check=True)
    assert result["changed"] and not (tmp_path / "mobius").exists()
    assert str(tmp_path / "mobius/state") in result["diff"]["after"] and result["diff"]["before"] == {}


def test_a_changed_mode_is_repaired(run_module, tmp_path):
    run_module(layout, {"root": str(tmp_path)})
    os.chmod(tmp_path / "state", 0o777)
    assert run_module(layout, {"root": str(tmp_path)})["changed"]
    assert mode(tmp_path / "state") == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give folders away")
def test_the_service_user_gets_what_it_writes_to_and_nothing_else(run_module, tmp_path):
    assert run_module(layout, {"root": str(tmp_path / "m"), "owner": "daemon"})["changed"]
    assert not run_module(layout, {"root": str(tmp_path / "m"), "owner": "daemon"})["changed"]
    daemon = pwd.getpwnam("daemon")
    for name, owner in (
        ("shared/uploads", daemon.pw_uid),
        ("shared/data", daemon.pw_uid),
        ("shared/logs", daemon.pw_uid),
        ("releases", 0),
        ("backups", 0),
        ("state", 0),
        ("shared/config", 0),
    ):
        status = os.stat(tmp_path / "m" / name)
        assert (status.st_uid, status.st_gid) == (owner, daemon.pw_gid), name


def test_bad_input(run_module, tmp_path):
    result = run_module(layout, {"root": str(tmp_path / "m"), "owner": "no-such-user"})
    assert result["msg"] == ("owner no-such-user: expected a user of the target, found none. Create it first (mobius.ops.setup does).")
    (tmp_path / "releases").write_text("a file")
    result = run_module(layout, {"root": str(tmp_path)})
    assert "expected a folder or nothing, found something else" in result["msg"]
    assert os.listdir(tmp_path) == ["releases"]


def test_in_check_mode_a_new_host_may_lack_the_owner(run_module, tmp_path):
    result = run_module(layout, {"root": str(tmp_path / "m"), "owner": "no-such-user"}, check=True)
    assert result["changed"] and str(tmp_path / "m" / "state") in result["folders"] and os.listdir(tmp_path) == []
    (tmp_path / "state").mkdir()
    assert run_module(layout, {"root": str(tmp_path), "owner": "no-such-user"}, check=True)["failed"]
