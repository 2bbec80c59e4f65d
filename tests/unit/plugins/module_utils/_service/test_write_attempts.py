# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where an application tried to write, in what Node 20 and sharp 0.35 printed (``recorded/writes``), and in what they print now."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._observe import node_exceptions
from ansible_collections.mobius.ops.plugins.module_utils._service import write_attempts
from ansible_collections.mobius.ops.plugins.module_utils._target import shared_folders

RECORDED = Path(__file__).parents[1] / "recorded" / "writes"
#: Where the writes of both recordings go; what is only read is not among them.
FOLDERS = [
    "reports",
    "",
    "cache",
    "src/api",
    "previews",
    "previews2",
    "thumbs",
    "moved",
    "copies",
    "messages",
    "pino",
    "pictures",
    "pictures2",
    "incoming",
    "incoming2",
]


@pytest.fixture
def release(tmp_path):
    """A release with a file of its source, as the recorded application had one."""
    folder = tmp_path / "r1"
    (folder / "src" / "api").mkdir(parents=True)
    (folder / "src" / "api" / "writes.mjs").touch()
    return str(folder)


def found(text, release, entries=None, shared=()):
    return write_attempts.findings(text, node_exceptions.Place(["/srv/app", release]), release, shared_folders.normalize(entries), shared)


def failed(path, error="EACCES", words="permission denied", call="open"):
    return f"Error: {error}: {words}, {call} '{path}'\n"


@pytest.mark.parametrize("name", ["denied", "readonly"])
def test_every_recorded_write_is_found_and_no_read(name, release, monkeypatch):
    monkeypatch.setattr(write_attempts, "FINDINGS", 100)
    findings = found((RECORDED / f"{name}.txt").read_text(), release)
    assert sorted(one["folder"] for one in findings) == sorted(FOLDERS)
    assert not any("nothing" in one["message"] or "local.json" in one["message"] for one in findings)


@pytest.mark.parametrize(
    "path, line",
    [
        ("cache/a/b.json", "- {path: cache, component: generated, folder: .cache}"),
        ("/srv/app/user-uploads/x.png", "- {path: user-uploads, component: uploads, folder: .user-uploads}"),
        ("src/api/sessions/1.json", "- {path: src/api/sessions, component: database, folder: .src-api-sessions}"),
        ("my files/x", '- {path: "my files", component: generated, folder: ".my files"}'),
        ("audit/log/x", "- {path: audit, component: generated, folder: .audit}"),
    ],
)
def test_the_line_to_paste_is_accepted_beside_the_default(path, line, release):
    (one,) = found(failed(path, "ENOENT", "no such file or directory"), release)
    assert one["line"] == line and one["message"].endswith(line) and "mobius_shared_folders" in one["message"]
    yaml = pytest.importorskip("yaml")
    added = shared_folders.normalize([*shared_folders.DEFAULT, *yaml.safe_load(line)])
    assert added[-1]["path"] == one["folder"]


def test_without_another_folder_of_the_component_the_line_is_short(release):
    entries = [{"path": "data", "component": "database"}]
    (one,) = found(failed("cache/x", "ENOENT", "no such file or directory"), release, entries)
    assert one["line"] == "- {path: cache, component: generated}"


@pytest.mark.parametrize(
    "path", ["top.json", "src/api/state.json", "src/new/x", "node_modules/.cache/x", "/var/cache/app/x", "../elsewhere/x"]
)
def test_what_cannot_become_a_shared_folder_has_no_line(path, release):
    if path == "src/new/x":
        Path(release, "src/new").mkdir()
        Path(release, "src/new/code.js").touch()
    (one,) = found(failed(path), release)
    assert one["line"] == "" and os.path.normpath(path) in one["message"]
    assert one["message"].endswith("let it write to one of the folders in mobius_shared_folders")


def test_a_folder_that_the_source_keeps_empty_can_be_shared(release):
    Path(release, "cache").mkdir()
    Path(release, "cache/.gitkeep").touch()
    (one,) = found(failed("cache/x.json"), release)
    assert one["line"].startswith("- {path: cache,")


@pytest.mark.parametrize("path", ["data/x.json", "/srv/app/uploads/a/b.png", "src/api/uploads", "/opt/shared/data/x", "."])
def test_what_is_in_a_shared_folder_is_no_finding(path, release):
    assert found(failed(path), release, shared=["/opt/shared"]) == []


def test_each_path_is_told_once_and_few_of_a_folder(release):
    text = "".join(failed(f"cache/{number % 7}.json") for number in range(500))
    (one,) = found(text, release)
    assert one["paths"] == ["cache/0.json", "cache/1.json", "cache/2.json"]


def test_folders_are_bounded(release):
    assert len(found("".join(failed(f"c{number}/x") for number in range(500)), release)) == write_attempts.FINDINGS


@pytest.mark.parametrize("path", ["\x1b[31mred\x07/x\u202e", "a" * 4000 + "/x", "x\x00y/z", "c/" * 1500])
def test_hostile_paths_are_printable_and_short(path, release):
    for one in found(failed(path, "ENOENT", "no such file or directory"), release):
        assert one["message"].isprintable() and len(one["message"]) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "EACCES: " * 40_000,
        "x: " * 80_000 + ": unable to open for write",
        "\n" * 250_000,
        "'" * 250_000,
        failed("a/b") + "\n \t" * 80_000,
        ": unable to open for write\nunix error: Permission denied\n" * 4000,
    ],
)
def test_hostile_output_is_read_to_its_end(text, release):
    """The expressions go through it once: one that does not would not come back."""
    found(text, release)
    node_exceptions.ending(text, node_exceptions.Place([release]))


def test_findings_of_several_looks_are_joined():
    one, two = {"folder": "a", "paths": ["a/1"]}, {"folder": "b", "paths": ["b/1"]}
    assert write_attempts.joined([one], None, [two, one]) == [one, two]


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_a_service_that_writes_elsewhere_is_found_by_what_it_prints(host, wait_until):
    host.live("r1")
    fs.write_text(
        os.path.join(host.layout.release("r1"), "index.js"),
        """
const fs = require('fs');
console.error('of the run before');
fs.writeFile(process.cwd() + '/reports/' + process.env.NAME, 'x', (error) => console.error(error));
fs.readFile('settings/none.json', 'utf8', (error) => console.error('no settings'));
try { fs.mkdirSync('previews/today'); } catch (error) { console.error(error.stack); }
require('http').createServer().listen(process.env.PORT, '127.0.0.1');
""",
    )
    for name in ("first", "second"):  # what was printed before the last start does not count
        service = host.service(command=["node", "index.js"], environment={"NAME": name})
        service.start()
        wait_until(lambda service=service: len(write_attempts.of(service)) == 2, what="both findings")
        service.stop()
    told = {one["folder"]: one["paths"] for one in write_attempts.of(service)}
    assert told == {"reports": ["reports/second"], "previews": ["previews/today"]}
