# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packed modules that are kept from one run to the next."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
import zipfile

import pytest

from ansible_collections.mobius.ops.plugins.plugin_utils import packed_modules

NAME = "ansible_collections.mobius.ops.plugins.modules.release-ZIP_DEFLATED"


def packed(**sources: str) -> bytes:
    """What Ansible keeps of a packed module: a zip file in base64."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in sources.items():
            archive.writestr(f"{name}.py", source)
    return base64.b64encode(made.getvalue())


def printed(entry: bytes, folder) -> str:
    """What the module ``one`` of a packed module prints when it is loaded."""
    path = folder / "module.zip"
    path.write_bytes(base64.b64decode(entry))
    return subprocess.run([sys.executable, "-c", "import one"], env={"PYTHONPATH": str(path)}, text=True, capture_output=True).stdout


def changed(entry: bytes, name: str, content: bytes) -> bytes:
    """A packed module with another content of one file."""
    return packed_modules.rewritten(entry, lambda info, found: {info.filename: content if info.filename == name else found})


@pytest.fixture
def cache(tmp_path):
    """Where Ansible looks for what it has packed in this run."""
    return tmp_path / "run" / "ansiballz_cache"


@pytest.fixture
def store(tmp_path):
    """The packed modules of one state."""
    return packed_modules.Store(str(tmp_path / "packed"), "state", False)


def test_the_next_run_gets_what_a_run_has_packed(store, cache, tmp_path):
    store.give(str(cache))
    (cache / NAME).write_bytes(b"packed")
    store.take(str(cache))
    again = tmp_path / "again" / "ansiballz_cache"
    store.give(str(again))
    assert (again / NAME).read_bytes() == b"packed"


def test_what_a_run_has_packed_already_stays(store, cache):
    store.give(str(cache))
    (cache / NAME).write_bytes(b"before")
    store.take(str(cache))
    (cache / NAME).write_bytes(b"of this run")
    store.give(str(cache))
    assert (cache / NAME).read_bytes() == b"of this run"


def test_modules_of_other_collections_and_half_written_files_are_not_kept(store, cache, tmp_path):
    store.give(str(cache))
    for name in ("ansible_collections.other.one.plugins.modules.release-ZIP_DEFLATED", NAME + "-part", NAME + ".lock"):
        (cache / name).write_bytes(b"packed")
    store.take(str(cache))
    assert os.listdir(tmp_path / "packed" / "state") == []


def test_bytecode_is_used_instead_of_the_source(tmp_path):
    entry = packed_modules.with_bytecode(packed(one="print('compiled')"))
    assert printed(changed(entry, "one.py", b"print('source')"), tmp_path) == "compiled\n"


def test_another_python_uses_the_source(tmp_path):
    entry = packed_modules.with_bytecode(packed(one="print('source')"))
    assert printed(changed(entry, "one.pyc", b"\0\0\r\n" + bytes(12) + b"of another Python"), tmp_path) == "source\n"


def test_every_file_keeps_its_source(tmp_path):
    entry = packed_modules.with_bytecode(packed(one="x = 1", two="y = 2"))
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(entry))) as archive:
        assert archive.namelist() == ["one.py", "one.pyc", "two.py", "two.pyc"]
        assert archive.read("two.py") == b"y = 2"


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(store, cache, tmp_path, mode):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed").chmod(mode)
    with pytest.raises(PermissionError, match="only its owner, you, may write to"):
        store.give(str(cache))
    assert not cache.exists()


def test_a_link_in_place_of_the_folder_is_refused(store, cache, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "packed").symlink_to("elsewhere")
    with pytest.raises(PermissionError):
        store.give(str(cache))


def test_states_that_were_not_used_for_longest_go(cache, tmp_path):
    top = tmp_path / "packed"
    for number in range(packed_modules.KEPT + 3):
        packed_modules.Store(str(top), f"state{number}", False).give(str(cache))
        os.utime(top / f"state{number}", (number, number))
    assert sorted(os.listdir(top)) == [f"state{number}" for number in range(2, packed_modules.KEPT + 3)]


def test_the_fingerprint_follows_each_file(tmp_path):
    (tmp_path / "room").mkdir()
    path = tmp_path / "room" / "one.py"
    path.write_text("x = 1")
    before = packed_modules.fingerprint([str(tmp_path)], "2.19")
    assert packed_modules.fingerprint([str(tmp_path)], "2.19") == before
    assert packed_modules.fingerprint([str(tmp_path)], "2.20") != before
    path.write_text("x = 10")
    longer = packed_modules.fingerprint([str(tmp_path)], "2.19")
    (tmp_path / "room" / "two.py").write_text("")
    assert len({before, longer, packed_modules.fingerprint([str(tmp_path)], "2.19")}) == 3
