# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module release_artifact."""

from __future__ import annotations

import glob
import os

import pytest

from ansible_collections.mobius.ops.plugins.modules import release_artifact

BUILD = ["sh", "-c", "mkdir -p client/build && echo x > client/build/index.html"]


@pytest.fixture
def args(tmp_path):
    source = tmp_path / "source"
    (source / "src/api").mkdir(parents=True)
    (source / "package.json").write_text("{}")
    (source / "src/api/index.js").write_text("listen()")
    return {"source": str(source), "version": "1.0", "store": str(tmp_path / "store"), "build_command": BUILD}


def test_built_once(run_module, args):
    first, second = run_module(release_artifact, args), run_module(release_artifact, args)
    assert first["changed"] and first["built"] and not second["changed"] and not second["built"]
    for name in ("path", "sha256", "size", "release_id", "version", "source", "digest"):
        assert first[name] == second[name] and first[name]


def test_check_mode_writes_nothing(run_module, args, tmp_path, snapshot):
    before = snapshot(tmp_path)
    result = run_module(release_artifact, args, check=True)
    assert result["changed"] and result["path"] is None and snapshot(tmp_path) == before
    made = run_module(release_artifact, args)
    assert made["release_id"] == result["release_id"]
    assert not run_module(release_artifact, args, check=True)["changed"]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"version": ""}, "mobius_version: expected the version of the release, found nothing."),
        ({"version": "a/b"}, "version 'a/b': expected 1 to 64 letters"),
        ({"source": "/no/such"}, "release source '/no/such': expected a folder"),
        ({"source": "/no/such.tar.gz"}, "artifact /no/such.tar.gz: expected the file and its .sha256"),
        ({"build_command": ["sh", "-c", "echo broken >&2; exit 2"]}, "found 2 (broken)"),
        ({"build_command": []}, "expected client/build/index.html in the built application"),
    ],
)
def test_bad_input(run_module, args, change, words):
    result = run_module(release_artifact, {**args, **change})
    assert result["failed"] and words in result["msg"]
    assert glob.glob(os.path.join(args["store"], "*")) == []
