# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module preflight."""
from __future__ import annotations

import os
import socket

import pytest

from ansible_collections.mobius.ops.plugins.modules import preflight


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A PATH with programs that answer quickly, an ffmpeg with two encoders, and one that is broken."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("node", "echo v20.1.0"), ("broken", "exit 3"),
                       ("ffmpeg", "echo ' V....D libx264  H.264'; echo ' A....D aac  AAC'")):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.fixture
def check(host, run_module, tools):
    def run(**options):
        given = {"programs": {"node": "--version", "ffmpeg": "-version"}, "min_free_mb": 1, **options}
        return run_module(preflight, {"root": host.root, **given})
    return run


def point(result, name):
    (found,) = [row for row in result["points"] if row["name"] == name]
    return found


def test_a_host_that_can_take_a_deploy(check, host, snapshot):
    host.live("r1")
    host.service()
    before = snapshot(host.root)
    result = check()
    assert not result["changed"] and all(row["passed"] and not row["remedy"] for row in result["points"])
    assert [row["name"] for row in result["points"]] == ["write", "node", "ffmpeg", "encoders", "port", "disk"]
    assert point(result, "node")["found"] == "v20.1.0"
    assert snapshot(host.root) == before


def test_the_services_own_port_is_fine(check, host):
    host.live("r1")
    host.serve()
    assert point(check(), "port")["passed"]


@pytest.mark.parametrize("options, name, words", [
    ({"programs": {"no-such-node": "-v"}}, "no-such-node", "no program no-such-node on the PATH"),
    ({"programs": {"broken": "-v"}}, "broken", "exit status 3"),
    ({"encoders": ["libx264", "libx999"]}, "encoders", "missing: libx999"),
    ({"min_free_mb": 10**12}, "disk", "free on the file system"),
    ({"service": "other"}, "port", "service other: expected a service that was set up"),
])
def test_each_point_that_does_not_pass_is_named_with_its_remedy(check, host, options, name, words):
    host.service()
    result = check(**options)
    row = point(result, name)
    assert not row["passed"] and words in row["found"] and row["remedy"]
    assert "1 of " in result["msg"] and f"{name} ({row['found']})" in result["msg"] and row["remedy"] in result["msg"]


def test_a_port_in_use(check, host):
    host.service()
    with socket.create_server(("127.0.0.1", host.port)):
        row = point(check(), "port")
    assert not row["passed"] and f"process {os.getpid()}" in row["found"]
    assert row["remedy"] == "Stop that program or give another mobius_port"


def test_a_host_that_was_not_set_up(run_module, tmp_path):
    assert "mobius.ops.setup" in run_module(preflight, {"root": str(tmp_path)})["msg"]
