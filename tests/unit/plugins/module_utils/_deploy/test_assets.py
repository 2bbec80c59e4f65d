# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of the client with names that change with their content, over releases."""

from __future__ import annotations

import os

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._deploy import assets

FOLDERS = ["client/build/assets"]


@pytest.fixture
def built(host):
    """Makes a release's folder with files of its client; its text by path."""

    def make(release_id, **files):
        host.release(release_id)
        folder = os.path.join(host.layout.release(release_id), FOLDERS[0])
        os.makedirs(folder)
        for name, text in files.items():
            with open(os.path.join(folder, name), "w") as stream:
                stream.write(text)
        assets.share(host.layout, release_id, host.store.ids(), FOLDERS)

    def read(release_id):
        folder = os.path.join(host.layout.release(release_id), FOLDERS[0])
        return {name: open(os.path.join(folder, name)).read() for name in sorted(os.listdir(folder))}

    make.read = read
    return make


def test_forward_and_back(built):
    built("r1", index_1="one")
    built("r2", index_2="two")
    built("r3", index_3="three")
    everything = {"index_1": "one", "index_2": "two", "index_3": "three"}
    assert [built.read(name) for name in ("r1", "r2", "r3")] == [everything] * 3


def test_no_file_of_a_release_is_replaced(built):
    built("r1", logo="old", only_1="1")
    built("r2", logo="new", only_2="2")
    assert built.read("r1") == {"logo": "old", "only_1": "1", "only_2": "2"}
    assert built.read("r2") == {"logo": "new", "only_1": "1", "only_2": "2"}


def test_they_stay_when_the_release_that_they_came_with_goes(built, host):
    built("r1", index_1="one")
    built("r2", index_2="two")
    host.store.remove("r1")
    built("r3", index_3="three")
    assert built.read("r2") == {"index_1": "one", "index_2": "two", "index_3": "three"}
    assert built.read("r3") == {"index_2": "two", "index_3": "three"}  # what came with r2, and not all that was ever


def test_a_release_that_was_built_in_another_way_gets_no_new_folder(built, host):
    host.release("r1")
    built("r2", index_2="two")
    assert not os.path.exists(os.path.join(host.layout.release("r1"), "client"))


def test_what_was_shared_is_not_taken_for_its_own(built, host):
    built("r1", index_1="one")
    built("r2", index_2="two")
    assert assets.own(host.layout, "r1", FOLDERS) == ["client/build/assets/index_1"]
    assert assets.share(host.layout, "r2", host.store.ids(), FOLDERS) == 0


def test_links_of_an_artifact_are_followed_nowhere(host, tmp_path):
    """Nothing outside of the releases is listed or gets a name, whatever a release brings."""
    outside = tmp_path / "outside"
    (outside / "assets").mkdir(parents=True)
    (outside / "assets" / "mine").write_text("mine")
    for release_id in ("r1", "r2"):
        host.release(release_id)
    first, second = (host.layout.release(name) for name in ("r1", "r2"))
    os.makedirs(os.path.join(first, FOLDERS[0]))
    with open(os.path.join(first, FOLDERS[0], "evil"), "w") as stream:
        stream.write("evil")
    os.makedirs(os.path.join(second, "client"))
    os.symlink(outside, os.path.join(second, "client", "build"))
    assert assets.share(host.layout, "r2", ["r1"], FOLDERS) == 0 and assets.own(host.layout, "r2", FOLDERS) == []
    with open(os.path.join(first, assets.OWN), "w") as stream:
        stream.write('["../../../outside/assets/mine", "..", "client/build/assets/../assets/evil"]')
    assert assets.share(host.layout, "r2", ["r1"], FOLDERS) == 0
    assert os.listdir(outside / "assets") == ["mine"] and (outside / "assets" / "mine").stat().st_nlink == 1
