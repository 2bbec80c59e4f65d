"""What an execution environment for AWX is made of."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from support.playbooks import ROOT

BUILDER = Path(sys.executable).with_name("ansible-builder")
OURS = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
builder = pytest.mark.skipif(not BUILDER.exists(), reason="ansible-builder is not in this environment")


@builder
def test_ansible_builder_finds_ranges_and_programs(tmp_path):
    collection = tmp_path / "ansible_collections" / "mobius" / "ops"
    for name in ("meta/execution-environment.yml", "requirements.txt", "bindep.txt", "galaxy.yml"):
        (collection / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, collection / name)
    (collection / "MANIFEST.json").write_text("{}")
    command = [str(BUILDER), "introspect", str(tmp_path), "--write-pip", str(tmp_path / "pip"), "--write-bindep", str(tmp_path / "bindep")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [Requirement(line.partition("#")[0]) for line in (tmp_path / "pip").read_text().splitlines() if line.strip()]
    assert {one.name for one in found} == {one.name for one in OURS} and "==" not in "".join(str(one.specifier) for one in found)
    assert {"git", "nodejs", "npm"} <= set(re.findall(r"^[\w-]+", (tmp_path / "bindep").read_text(), flags=re.M))


@builder
def test_ansible_builder_makes_a_context(tmp_path):
    dist = tmp_path / ".build" / "dist"
    dist.mkdir(parents=True)
    (dist / "mobius-ops.tar.gz").write_bytes(b"the collection")
    shutil.copy(ROOT / "execution-environment.yml", tmp_path)
    done = subprocess.run(
        [str(BUILDER), "create", "--file", "execution-environment.yml", "--context", "context"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (collection,) = yaml.safe_load((tmp_path / "context" / "_build" / "requirements.yml").read_text())["collections"]
    assert (tmp_path / "context" / "_build" / collection["name"]).read_bytes() == b"the collection"


def test_the_tests_run_with_one_version_of_each_range():
    pinned = {}
    for line in (ROOT / "requirements-dev.txt").read_text().splitlines():
        if not line.startswith("#"):
            one = Requirement(line)
            pinned[one.name] = next(iter(one.specifier)).version
    for one in OURS:
        (lowest,) = one.specifier
        assert lowest.operator == ">=" and one.specifier.contains(pinned[one.name]), one
