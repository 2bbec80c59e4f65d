# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a backup is for, where its manifest does not say it."""

from __future__ import annotations

import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup import purposes as backup_purposes
from ansible_collections.mobius.ops.plugins.module_utils._core import checksums, fs
from ansible_collections.mobius.ops.plugins.module_utils._target import history
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore

NAME = "dhash_production_20260101_000000.zip"


@pytest.fixture
def old(state_host, tmp_path):
    """The path of an archive without a purpose, elsewhere than it was made."""
    (tmp_path / "copies").mkdir()
    return str(tmp_path / "copies" / NAME)


def told(state_host, old, named_safety=False, manifest=None):
    return backup_purposes.of(old, named_safety, {} if manifest is None else manifest, backup_purposes.Past(state_host.layout))


def test_the_manifest_wins_over_the_name_and_the_history(state_host, old):
    history.record(state_host.layout, "restored", archive="/b/other.zip", safety_backup=old)
    assert told(state_host, old, manifest={"purpose": "deploy", "why": "before v2"}) == ("deploy", "before v2")
    assert told(state_host, old, True, {"purpose": "ordinary"}) == ("ordinary", "")
    assert told(state_host, old, manifest={"purpose": "of a later version"}) == ("unknown", "")


def test_the_name_counts_for_an_archive_that_cannot_be_read(old):
    assert backup_purposes.of(old, True, None, None) == ("safety", "")
    assert backup_purposes.of(old, False, None, None) == ("unknown", "")


@pytest.mark.parametrize(
    "why",
    [
        "before the restore of dhash_production_20251231_000000.zip",
        "what the restore of dhash_production_20251231_000000.zip replaced, as of the stop",
    ],
)
def test_old_safety_backups_are_known_by_the_reason_in_the_history(state_host, old, why):
    history.record(state_host.layout, "backup", why, archive=old, sha256="0" * 64)
    assert told(state_host, old) == ("safety", why)


@pytest.mark.parametrize("what", ["restored", "restore_failed"])
def test_old_safety_backups_are_known_by_the_restore_that_names_them(state_host, old, what):
    history.record(state_host.layout, "backup", "nightly", archive=f"/elsewhere/{NAME}")
    history.record(state_host.layout, what, "asked for", archive="/b/a.zip", safety_backup=f"/elsewhere/{NAME}")
    assert told(state_host, old) == ("safety", "nightly")


def test_old_backups_of_deploys_are_known_by_the_record_of_the_release(state_host, old):
    history.record(state_host.layout, "backup", archive=old)
    assert told(state_host, old) == ("ordinary", "")
    os.mkdir(state_host.layout.release("v2"))
    fs.write_json(
        state_host.layout.path("releases", "v2", ".release.json"),
        {
            "id": "v2",
            "sequence": 1,
            "status": "verified",
            "created": "2026-01-01T00:00:00Z",
            "activated": None,
            "verified": None,
            "migration": "none",
            "backup": f"/b/{NAME}",
        },
    )
    assert ReleaseStore(state_host.layout).get("v2") and told(state_host, old) == ("deploy", "before release v2")


def test_what_the_history_does_not_know_is_unknown(state_host, old):
    assert told(state_host, old) == ("unknown", "")
    assert backup_purposes.of(old, False, {}, None) == ("unknown", "")


def test_another_archive_of_that_name_is_unknown(state_host, old):
    """From another host, made in the same second."""
    history.record(state_host.layout, "backup", "before the restore of a.zip", archive=f"/b/{NAME}", sha256="0" * 64)
    fs.write_text(old + checksums.SUFFIX, checksums.line(old, "1" * 64).decode())
    assert told(state_host, old) == ("unknown", "")
    fs.write_text(old + checksums.SUFFIX, checksums.line(old, "0" * 64).decode())
    assert told(state_host, old)[0] == "safety"
