# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Python library requests takes as long to load as all else of a module: it is loaded by what asks something."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

UTILS = "ansible_collections.mobius.ops.plugins.module_utils"
SCRIPT = f"""
import importlib, sys
importlib.import_module("{UTILS}." + sys.argv[1])
loaded = {{"requests", "urllib3"}} & sys.modules.keys()
assert not loaded, loaded
connection = importlib.import_module("{UTILS}._observe.http.connection")
connection.client(1)
assert {{"requests", "urllib3"}} <= sys.modules.keys()
"""


@pytest.mark.parametrize("util", ["_restore.restore", "_backup.create", "_gates.smoke.run", "_observe.health", "_watch.watcher"])
def test_requests_is_loaded_when_something_is_asked(util):
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, util], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
