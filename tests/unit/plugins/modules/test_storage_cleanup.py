# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clean-ups of real files, through the module."""
from __future__ import annotations

import json
import os
import sqlite3

import pytest
from support import trees

from ansible_collections.mobius.ops.plugins.modules import storage_cleanup


@pytest.fixture
def stored(state_host):
    """A host with old files of each kind, none of them named, and one that each store names."""
    for name in ("uploads/old.png", "uploads/.root/thumbnails/thumb_1_old.png", "uploads/render-jobs/job-1/clip.mp4", "generated/reel.mp4",
                 "logs/app.1.log", "uploads/half.part", "database/p1/.source-upload-tmp/page.png", "uploads/named-in-json.png",
                 "uploads/named in sqlite.png"):
        state_host.put(name, os.urandom(1000 + len(name)))
    state_host.put("database/projects.json", json.dumps({"projects": [{"path": "/uploads/named-in-json.png"}]}).encode())
    with sqlite3.connect(state_host.path("database/mobius.db"), isolation_level=None) as database:
        database.execute("PRAGMA journal_mode=wal")
        database.execute("CREATE TABLE uploads (path TEXT)")
        database.execute("INSERT INTO uploads VALUES ('/uploads/named in sqlite.png')")
    database.close()
    return state_host


@pytest.fixture
def cleanup(stored, run_module):
    """Run the module; files need not have been left alone for an hour."""
    def run(check=False, **options):
        return run_module(storage_cleanup, {"root": stored.root, "env": stored.env, "grace": 0, **options}, check=check)
    return run


def there(host):
    """Every file of the components."""
    return {path for path, facts in trees.facts(host.layout.shared).items() if "sha256" in facts}


def test_a_dry_run_is_the_run_to_the_byte_and_a_restore_brings_all_back(stored, cleanup):
    stored.backup()
    before = trees.facts(stored.layout.shared)
    planned = cleanup()
    print(json.dumps(planned, indent=1))
    assert trees.facts(stored.layout.shared) == before and not planned["changed"]
    done = cleanup(state="cleaned")
    assert done["changed"]
    assert (done["files"], done["bytes"], done["left"]) == (planned["files"], planned["bytes"], planned["left"])
    print(sorted(there(stored)))
