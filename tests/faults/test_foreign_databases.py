# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups of databases that only their application can read, under its writes: what is called verified is one moment of them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import pytest
from support import vault


@pytest.mark.parametrize("kind", vault.KINDS)
def test_a_backup_without_a_problem_is_one_moment(state, tmp_path, kind, long):
    """On 8a3192d, 8 of 13 verified archives of an encrypted one were torn. 100 backups of each in the long part."""
    if kind == "encrypted":
        pytest.importorskip("sqlcipher3", reason="sqlcipher3 has no build for this machine")
    path = state.path("database/vault.db")
    vault.create(kind, path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    writer = subprocess.Popen([sys.executable, "-m", "support.vault", kind, path], env=environment, stdout=subprocess.PIPE)
    good = listed = 0
    try:
        assert writer.stdout.readline() == b"ready\n"
        while good + listed < (100 if long else 6) or not good:
            ended = state.backup(components=["database"], full_every=0, level=1)
            assert writer.poll() is None, "the writer failed"
            if ended.status:
                assert [problem["path"] for problem in ended.result["problems"]] == ["database/vault.db"], ended
                listed += 1
                continue
            assert ended.result["problems"] == [] and ended.result["status"] == "verified"
            folder = tmp_path / f"restored{good}"
            with zipfile.ZipFile(ended.result["archive"]) as archive:
                archive.extractall(folder)
            vault.check(kind, str(folder / "database" / "vault.db"))
            good += 1
    finally:
        writer.kill()
        writer.wait()
    if kind == "collation":
        assert not listed  # SQLite copies it, whoever writes
    print(f"{kind}: {good} verified and right, {listed} listed as a problem")
