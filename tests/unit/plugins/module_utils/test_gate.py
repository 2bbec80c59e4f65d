# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copy of the data on which a release is tried."""
from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.mobius.ops.plugins.module_utils import _gate


@pytest.fixture
def data(tmp_path):
    """A component whose application writes a temporary file and renames it."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "projects.json").write_text("{}")
    (folder / "projects.json.tmp").write_text("{")
    return folder


@pytest.mark.parametrize("opened", [False, True])
def test_files_that_are_renamed_during_the_copy_are_left_out(data, tmp_path, monkeypatch, opened):
    copy2 = shutil.copy2

    def late(path, to):
        if path.endswith(".tmp") and not opened:
            os.unlink(path)
        copy2(path, to)
        if path.endswith(".tmp") and opened:
            os.unlink(path)

    monkeypatch.setattr(_gate.shutil, "copy2", late)
    _gate.copy(str(data), str(tmp_path / "copy"))
    assert not (data / "projects.json.tmp").exists()
    assert os.listdir(tmp_path / "copy") == ["projects.json"]


def test_files_that_stay_are_all_copied(data, tmp_path):
    _gate.copy(str(data), str(tmp_path / "copy"))
    assert sorted(os.listdir(tmp_path / "copy")) == ["projects.json", "projects.json.tmp"]


def test_a_copy_that_cannot_be_written_fails(data, tmp_path, monkeypatch):
    def nowhere(path, to):
        raise FileNotFoundError(2, "no such folder", to)

    monkeypatch.setattr(_gate.shutil, "copy2", nowhere)
    with pytest.raises(shutil.Error):
        _gate.copy(str(data), str(tmp_path / "copy"))
