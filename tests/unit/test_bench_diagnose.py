"""The benchmark of the diagnosis calls the module as Ansible does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench" / "diagnose.py"


def called(**options):
    """What the benchmark makes of the module's answer."""
    words = [sys.executable, str(BENCH), "--call", "--nice", "0"]
    done = subprocess.run(words, input=json.dumps(options), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_the_module_names_is_told(host):
    host.live("r1")
    host.serve()
    checks = [{"url": f"http://127.0.0.1:{host.port}/health", "status": [200]}]
    told = called(root=host.root, env="test", checks=checks, window=0.5)
    assert [cause["name"] for cause in told["causes"]] == ["folder_not_writable"]  # it has none of the folders
    assert told["evidence"]["checks"] == 1 and told["evidence"]["failed"] == 0
    assert told["refused"] is None and told["cpu"] > 0


def test_what_the_module_refuses_is_told(tmp_path):
    told = called(root=str(tmp_path), env="test")
    assert "expected" in told["refused"] and told["causes"] is None
