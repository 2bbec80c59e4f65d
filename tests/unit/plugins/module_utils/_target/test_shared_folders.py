# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folders that all releases share: what may be in the list, where they lie, and that no link leads root astray."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest
import yaml

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._target import shared_folders


def test_the_default_covers_what_mobius_writes(host):
    found = shared_folders.links(host.layout, shared_folders.load(host.layout))
    below = {path: os.path.relpath(target, host.layout.shared) for path, target in found.items()}
    assert below == {
        "data": "data",
        "src/api/uploads": "uploads",
        "out": "out",
        "logs": "logs",
        ".env": "config/.env",
        "uploads": "uploads/.root",
        "src/api/saved-matches": "data/.saved-matches",
        "output": "out/.output",
    }


def test_the_setting_has_the_same_default():
    defaults = pathlib.Path(__file__).parents[5] / "roles" / "mobius" / "defaults" / "profiles" / "mobius.yml"
    assert yaml.safe_load(defaults.read_text())["mobius_shared_folders"] == shared_folders.DEFAULT


@pytest.mark.parametrize(
    "entries, words",
    [
        ([{"path": "a"}], "entry 1: expected path and component, and if need be folder and create, found path. Correct it"),
        ([{"path": "a", "component": "logs", "owner": "x"}], "entry 1: expected path and component"),
        ([{"path": "a", "component": "config"}], "(a): expected one of the components database, uploads, generated, logs, found 'config'"),
        ([{"path": "../a", "component": "logs"}], "(../a): expected paths below the release"),
        ([{"path": "/a", "component": "logs"}], "(/a): expected paths below the release"),
        ([{"path": "a/", "component": "logs"}], "(a/): expected paths below the release"),
        ([{"path": "a", "component": "logs", "folder": "b/../.."}], "found 'b/../..'"),
        ([{"path": "a", "component": "logs", "create": ["../../x"]}], "found '../../x'"),
        ([{"path": "node_modules/x", "component": "logs"}], "(node_modules/x): expected a folder that the application writes to"),
        ([{"path": "a", "component": "logs"}, {"path": "a", "component": "uploads"}], "expected different paths in the release"),
        (
            [{"path": "a/b", "component": "logs"}, {"path": "a", "component": "uploads"}],
            "none in another one, found a/b and a. Correct one",
        ),
        (
            [{"path": "a", "component": "logs"}, {"path": "b", "component": "logs"}],
            "found logs and logs. Give one of them a folder of its own",
        ),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(entries, words):
    with pytest.raises(InputError) as caught:
        shared_folders.normalize(entries)
    assert words in str(caught.value) and str(caught.value).startswith("mobius_shared_folders")


def test_what_lacks_is_made_for_the_owner_and_nothing_else_is_touched(host):
    entries, base = shared_folders.load(host.layout), host.layout.component("uploads")
    os.chmod(base, 0o710)
    os.utime(base, (1, 1))
    assert shared_folders.missing(base, entries, "uploads") == [".root", ".root/thumbnails"]
    assert shared_folders.complete(base, entries, "uploads") == [".root", ".root/thumbnails"]
    status = os.stat(base)
    assert stat.S_IMODE(status.st_mode) == 0o710 and status.st_mtime == 1
    for path in (".root", ".root/thumbnails"):
        found = os.stat(os.path.join(base, path))
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (status.st_uid, status.st_gid, 0o750)
    assert shared_folders.complete(base, entries, "uploads") == [] and shared_folders.missing(base, entries, "uploads") == []


@pytest.mark.parametrize("where", [".root", ".root/thumbnails"])
def test_a_link_of_the_service_user_is_not_followed(host, tmp_path, where):
    base = host.layout.component("uploads")
    os.makedirs(os.path.join(base, os.path.dirname(where)), exist_ok=True)
    (tmp_path / "decoy").mkdir(mode=0o700)
    os.symlink(tmp_path / "decoy", os.path.join(base, where))
    with pytest.raises(StateError, match=r"expected a folder, or nothing, found something else\. Move it away"):
        shared_folders.complete(base, shared_folders.load(host.layout), "uploads")
    assert os.listdir(tmp_path / "decoy") == [] and stat.S_IMODE(os.stat(tmp_path / "decoy").st_mode) == 0o700
