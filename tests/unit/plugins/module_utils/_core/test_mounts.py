# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mount points."""

from __future__ import annotations

from ansible_collections.mobius.ops.plugins.module_utils._core import mounts


def test_the_mount_point_of_a_path_that_is_there_or_not(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    known = {"/", str(tmp_path / "a")}
    assert mounts.point_of(str(inner), known) == mounts.point_of(str(inner / "none"), known) == str(tmp_path / "a")
    assert mounts.point_of(str(tmp_path), known) == "/" and mounts.point_of("/proc/self") == "/proc"


def test_a_link_counts_by_where_it_leads(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert mounts.point_of(str(tmp_path / "link" / "x"), {"/", str(tmp_path / "a")}) == str(tmp_path / "a")
