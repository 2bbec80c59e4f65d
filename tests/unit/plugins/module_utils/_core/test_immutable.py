# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What keeps files from being removed, and what is said of it. Some need chattr, and are skipped where it does not work."""

from __future__ import annotations

import os

import pytest
from support.attributes import Attributes

from ansible_collections.mobius.ops.plugins.module_utils._core import immutable


@pytest.fixture
def attributes(tmp_path):
    made = Attributes(tmp_path / "probe")
    yield made
    made.close(tmp_path)


def test_what_has_no_attribute(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    os.symlink("file", tmp_path / "link")
    for path in (tmp_path, *(tmp_path / name for name in ("file", "pipe", "link", "none", "none/below"))):
        assert immutable.of(str(path)) is None
    assert immutable.around(str(tmp_path / "file")) is None and immutable.below(str(tmp_path)) == ([], 0)


def test_what_is_gone_is_no_reason_for_a_word(tmp_path):
    assert immutable.stays(str(tmp_path / "none")) == ""


def test_what_stays_for_another_reason_is_named_too(tmp_path):
    """Such as a mount point."""
    assert immutable.stays(str(tmp_path)) == f"{tmp_path} could not be removed. Look at what is in it, and remove it by hand."


@pytest.mark.parametrize(
    ("attribute", "kind", "option"), [("+i", "immutable", "-i"), ("+a", "append-only", "-a"), ("+ia", "immutable and append-only", "-i -a")]
)
def test_a_file_with_an_attribute_and_what_releases_it(tmp_path, attributes, attribute, kind, option):
    path = tmp_path / "a file\n"
    path.touch()
    attributes.give(path, attribute)
    assert immutable.of(str(path)) == (str(path), kind, f"chattr {option} '{path}'")
    assert immutable.around(str(path)).kind == kind
    assert [held.path for held in immutable.below(str(tmp_path))[0]] == [str(path)]


def test_a_link_is_not_followed(tmp_path, attributes):
    (tmp_path / "file").touch()
    attributes.give(tmp_path / "file", "+i")
    os.symlink("file", tmp_path / "link")
    assert immutable.of(str(tmp_path / "link")) is None


def test_some_of_many_are_named_and_all_are_counted(tmp_path, attributes):
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    for number in range(5):
        path = tmp_path / "tree" / "deep" / str(number)
        path.touch()
        attributes.give(path, "+i")
    told = immutable.stays(str(tmp_path / "tree"))
    assert f"{tmp_path}/tree/deep/2 is immutable, and 2 more." in told and "/deep/3" not in told
    assert f"Release it with 'chattr -R -i -a {tmp_path}/tree'" in told


def test_the_folder_around_is_what_keeps_it(tmp_path, attributes):
    (tmp_path / "around" / "tree").mkdir(parents=True)
    attributes.give(tmp_path / "around", "+a")
    assert immutable.around(str(tmp_path / "around" / "tree")).path == str(tmp_path / "around")
    told = immutable.stays(str(tmp_path / "around" / "tree"))
    assert f"{tmp_path}/around is append-only. Release it with 'chattr -a {tmp_path}/around'" in told
