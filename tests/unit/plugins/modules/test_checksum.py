# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module checksum on real files, and against the real sha256sum."""

from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess

import pytest

from ansible_collections.mobius.ops.plugins.modules import checksum


@pytest.fixture
def files(tmp_path):
    """Three files, one with a name that sha256sum escapes."""
    made = []
    for name in ("a.zip", "b c.zip", "line\nbreak\\.zip"):
        path = tmp_path / name
        path.write_bytes(os.urandom(3000))
        path.chmod(0o600)
        made.append(str(path))
    return made


def statuses(result):
    return [file["status"] for file in result["files"]]


def test_written_then_ok_and_sha256sum_accepts(run_module, files, tmp_path):
    first = run_module(checksum, {"paths": files})
    assert first["changed"] and statuses(first) == ["written"] * 3
    assert first["files"][0]["sha256"] == hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    assert (tmp_path / "a.zip.sha256").read_text() == first["files"][0]["sha256"] + "  a.zip\n"
    assert (tmp_path / "a.zip.sha256").stat().st_mode & 0o777 == 0o600
    for path in files:
        done = subprocess.run(["sha256sum", "-c", os.path.basename(path) + ".sha256"], cwd=tmp_path, check=False)
        assert done.returncode == 0
    second = run_module(checksum, {"paths": files})
    assert not second["changed"] and statuses(second) == ["ok"] * 3
    assert not second["diff"]["after"]


def test_reads_what_sha256sum_writes(run_module, files, tmp_path):
    for path in files:
        made = subprocess.run(["sha256sum", os.path.basename(path)], cwd=tmp_path, check=True, stdout=subprocess.PIPE)
        with open(path + ".sha256", "wb") as stream:
            stream.write(made.stdout)
    result = run_module(checksum, {"paths": files, "state": "verified"})
    assert not result["changed"] and statuses(result) == ["ok"] * 3


def test_check_mode_writes_nothing(run_module, files, tmp_path, snapshot):
    before = snapshot(tmp_path)
    result = run_module(checksum, {"paths": files}, check=True)
    assert result["changed"] and statuses(result) == ["written"] * 3
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "damage, status, words",
    [
        (lambda path: pathlib.Path(path).write_bytes(b"x"), "mismatch", "another content"),
        (lambda path: os.unlink(path + ".sha256"), "missing_sidecar", "no sidecar"),
        (os.unlink, "missing_file", "no such file"),
        (lambda path: pathlib.Path(path + ".sha256").write_text("nonsense\n"), "malformed_sidecar", "a sidecar without a line"),
        (lambda path: os.rename(path + ".sha256.upper", path + ".sha256"), "malformed_sidecar", "a sidecar without a line"),
    ],
)
def test_verified_names_what_is_bad(run_module, files, damage, status, words):
    run_module(checksum, {"paths": files})
    with open(files[1] + ".sha256") as stream, open(files[1] + ".sha256.upper", "w") as upper:
        upper.write(stream.read().replace("  b c.zip", "  other.zip"))
    damage(files[1])
    result = run_module(checksum, {"paths": files, "state": "verified"})
    assert result["failed"] and statuses(result) == ["ok", status, "ok"]
    assert files[1] in result["msg"] and words in result["msg"]


def test_several_bad_ones_are_counted(run_module, files):
    result = run_module(checksum, {"paths": files, "state": "verified"})
    assert "and 2 more of 3 files" in result["msg"]


def test_present_with_a_missing_file_writes_nothing(run_module, files, tmp_path, snapshot):
    before = snapshot(tmp_path)
    result = run_module(checksum, {"paths": [*files, str(tmp_path / "gone")]})
    assert result["failed"] and statuses(result)[-1] == "missing_file"
    assert snapshot(tmp_path) == before


def test_present_makes_a_wrong_sidecar_right_and_shows_it(run_module, files):
    run_module(checksum, {"paths": files})
    with open(files[0], "ab") as stream:
        stream.write(b"more")
    result = run_module(checksum, {"paths": files})
    assert statuses(result) == ["written", "ok", "ok"]
    assert result["diff"]["before"] != result["diff"]["after"] and files[0] in result["diff"]["before"]


def test_no_paths(run_module):
    assert "at least one file" in run_module(checksum, {"paths": []})["msg"]


FORMS = {
    "binary": "{digest} *{name}\n",
    "line ends of Windows": "{digest}  {name}\r\n",
    "upper case": "{upper}  {name}\n",
    "tag": "SHA256 ({name}) = {digest}\n",
    "tag in upper case": "SHA256 ({name}) = {upper}\r\n",
    "OpenSSL": "SHA256({name})= {digest}\n",
    "dot": "{digest}  ./{name}\n",
    "absolute": "{digest}  {folder}/{name}\n",
    "tag, absolute": "SHA256 ({folder}/{name}) = {digest}\n",
    "no end": "{digest}  {name}",
    "blank lines": "\n{digest}  {name}\n\n",
    "comment": "# made by a tool\n{digest}  {name}\n",
    "several": "{other}  other\n{digest}  {name}\n",
    "twice": "{digest}  {name}\n{digest}  ./{name}\n",
    "indented": "  {digest}  {name}\n",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["a.zip", "b c.zip"])
def test_every_form_that_sha256sum_accepts_is_accepted(run_module, tmp_path, form, name):
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / name).write_bytes(b"content")
    digest, other = (hashlib.sha256(content).hexdigest() for content in (b"content", b"other"))
    (tmp_path / (name + ".sha256")).write_bytes(
        FORMS[form].format(digest=digest, upper=digest.upper(), other=other, name=name, folder=tmp_path).encode()
    )
    accepted = subprocess.run(["sha256sum", "-c", name + ".sha256"], cwd=tmp_path, check=False, stdout=subprocess.DEVNULL)
    assert accepted.returncode == 0
    assert statuses(run_module(checksum, {"paths": [str(tmp_path / name)], "state": "verified"})) == ["ok"]
    (tmp_path / name).write_bytes(b"changed")
    assert statuses(run_module(checksum, {"paths": [str(tmp_path / name)], "state": "verified"})) == ["mismatch"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "{digest}\n",
        "{digest}  other.zip\n",
        "{digest}  a.zip.old\n",
        "{digest}0  a.zip\n",
        "MD5 (a.zip) = {digest}\n",
        "{digest}  a.zip\n{wrong}  a.zip\n",
        "{digest}  a.zip/b\n",
    ],
)
def test_a_sidecar_without_one_digest_of_the_file_is_malformed(run_module, tmp_path, text):
    (tmp_path / "a.zip").write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    (tmp_path / "a.zip.sha256").write_text(text.format(digest=digest, wrong="0" * 64))
    result = run_module(checksum, {"paths": [str(tmp_path / "a.zip")], "state": "verified"})
    assert statuses(result) == ["malformed_sidecar"] and "Fetch the sidecar again" in result["msg"]
