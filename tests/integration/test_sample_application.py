"""The sample application's own tests, which Node.js runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.application import APP
from support.playbooks import ROOT
from support.proxied import install_modules
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._deploy import dependencies


@pytest.mark.parametrize("name", sorted(path.name for path in (APP / "test").glob("*.test.js")))
def test_of_its_own(name: str, tmp_path: Path) -> None:
    app = tmp_path / "app"
    shutil.copytree(APP, app, ignore=shutil.ignore_patterns("node_modules"))
    store = str(ROOT / ".build" / "traffic")
    (app / "node_modules").symlink_to(install_modules(store))
    if name == "version.test.js":  # it builds the client
        installed, _new = dependencies.install(str(APP / "client"), store, ["--include=dev", "--ignore-scripts"])[:2]
        (app / "client" / "node_modules").symlink_to(installed)
    done = subprocess.run(["node", "--test", f"test/{name}"], cwd=app, capture_output=True, text=True, timeout=HANG * 5, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(re.findall(r"^# (pass|skipped) (\d+)$", done.stdout, re.MULTILINE))
    assert int(counts["pass"]) > 0 and counts["skipped"] == "0", done.stdout
