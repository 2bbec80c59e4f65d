# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""JSON stores: a torn one is found before the application overwrites it, and stored paths are corrected with nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
import types

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._target import history, json_stores


@pytest.fixture
def put(host):
    """``put(name, content)``: a store."""

    def write(name, content):
        path = os.path.join(host.layout.component("database"), name)
        with open(path, "wb") as stream:
            stream.write(content if isinstance(content, bytes) else json.dumps(content, indent=1).encode())
        return path

    return write


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


@pytest.mark.parametrize(
    "content, words",
    [
        (b'{"projects": [{"id": 1}, {"id"', "none: Expecting ':' delimiter"),
        (b"", "an empty file"),
        (b"[" * 200_000, "one that is cut"),
        (b"\xff\xfe", "none: "),
    ],
)
def test_a_torn_store_is_found(host, put, monkeypatch, content, words):
    monkeypatch.setattr(json_stores, "PATIENCE", 0)
    put("images.json", [])
    path = put("projects.json", content)
    with pytest.raises(StateError) as caught:
        json_stores.require_whole(host.layout)
    assert str(caught.value).startswith(f"store {path}: expected a JSON document, found {words}")
    assert "mobius.ops.restore" in str(caught.value) and "mobius_allow_torn_stores" in str(caught.value)


@pytest.mark.parametrize("parsed, of_large", [(json_stores.PARSED, "none: Expecting ':' delimiter"), (0, "one that is cut")])
def test_a_status_names_each_torn_store(host, put, monkeypatch, parsed, of_large):
    """Also those that are too large to be parsed, by their ends."""
    monkeypatch.setattr(json_stores, "PATIENCE", 0)
    monkeypatch.setattr(json_stores, "PARSED", parsed)
    put("images.json", [{"id": 1}])
    assert json_stores.torn(host.layout) == []
    paths = [put("a\x1b[2J.json", b""), put("projects.json", b'{"projects": [{"id": 1}, {"id"')]
    first, second = json_stores.torn(host.layout)
    assert first.startswith(f"store {host.layout.component('database')}/a\\x1b[2J.json: expected a JSON document, found ")
    assert second.startswith(f"store {paths[1]}: expected a JSON document, found {of_large}")
    assert "mobius.ops.restore" in second and "mobius_allow_torn_stores" in second


def test_a_status_parses_no_more_than_its_share(host, put, monkeypatch):
    monkeypatch.setattr(json_stores, "PATIENCE", 0)
    monkeypatch.setattr(json_stores, "PARSED", 10)
    put("a.json", b"{wrong}")
    put("b.json", b"{wrong}")
    (found,) = json_stores.torn(host.layout)
    assert "/a.json: " in found, "that its ends fit is all that is known of the second"
    monkeypatch.setattr(json_stores, "MOST", 0)
    assert json_stores.torn(host.layout) == []


def test_a_status_names_some_of_many_torn_stores(host, put, monkeypatch):
    monkeypatch.setattr(json_stores, "PATIENCE", 0)
    for number in range(json_stores.TOLD + 2):
        put(f"{number:02}.json", b"")
    found = json_stores.torn(host.layout)
    assert len(found) == json_stores.TOLD + 1 and found[-1] == "2 more JSON stores are torn."


def test_a_status_waits_until_each_store_was_whole_once(host, put, monkeypatch):
    """Stores that are written all the time are not whole at the same moment, and none of them is torn."""
    moments = iter([(b"[", []), ([], b"["), (b"[", [])])

    def write(_seconds=0):
        for name, content in zip(("a.json", "b.json"), next(moments)):
            put(name, content)

    write()
    monkeypatch.setattr(json_stores, "PATIENCE", HANG)
    monkeypatch.setattr(json_stores, "time", types.SimpleNamespace(monotonic=time.monotonic, sleep=write))
    assert json_stores.torn(host.layout) == []


def test_a_store_that_is_just_written_is_waited_for(host, put, monkeypatch):
    path = put("projects.json", b'{"projects"')
    monkeypatch.setattr(json_stores, "PATIENCE", HANG)
    monkeypatch.setattr(
        json_stores, "time", types.SimpleNamespace(monotonic=time.monotonic, sleep=lambda _seconds: put("projects.json", {"projects": []}))
    )
    json_stores.require_whole(host.layout)
    assert json.loads(read(path)) == {"projects": []}


def test_what_is_no_store_is_left_out(host, put, tmp_path):
    put("mobius.db", b"{")
    put(".hidden.json", b"{")
    secret = tmp_path / "secret.json"
    secret.write_text("{")
    os.symlink(secret, os.path.join(host.layout.component("database"), "link.json"))
    os.mkfifo(os.path.join(host.layout.component("database"), "pipe.json"))
    os.mkdir(os.path.join(host.layout.component("database"), "folder.json"))
    assert json_stores.look(host.layout) == json_stores.torn(host.layout) == []
    json_stores.require_whole(host.layout)
    shutil.rmtree(host.layout.component("database"))
    assert json_stores.torn(host.layout) == []


def test_stored_paths_lead_to_the_folder_that_stays(host, put):
    root, app = host.layout.root, host.layout.app
    stored = {
        "a": f"{root}/releases/1.0-aaaaaaaa/data/x.png",
        "b": [f"{root}/releases/2.0-bbbbbbbb/uploads/ö.png", f"{root}/current/data/y"],
        "c": f"{root}/releasesx/1",
        "d": f"see {root}/releases/1.0-aaaaaaaa/data",
        "e": f"{app}/data/z.png",
        "f": f"{root}/slots/5001/data/w",
    }
    path = put("images.json", stored)
    os.chmod(path, 0o640)
    before = read(path)
    assert json_stores.look(host.layout)[0].stale == 4
    assert json_stores.repair(host.layout, app) == {"images.json": 4}
    assert json.loads(read(path)) == {
        **stored,
        "a": f"{app}/data/x.png",
        "b": [f"{app}/uploads/ö.png", f"{app}/data/y"],
        "f": f"{app}/data/w",
    }
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640 and os.stat(path).st_uid == os.getuid()
    event = history.last(host.layout, "paths_corrected")
    assert event["stores"] == {"images.json": 4}
    with open(os.path.join(event["kept"], "images.json"), "rb") as stream:
        assert stream.read() == before
    assert stat.S_IMODE(os.stat(event["kept"]).st_mode) == 0o700
    assert json_stores.repair(host.layout, app) == {} and os.listdir(host.layout.component("database")) == ["images.json"]


def test_a_root_that_json_writes_in_another_way(tmp_path, put, host):
    layout = type(host.layout)(str(tmp_path / 'a "b" \\1 ü'))
    os.makedirs(layout.component("database"))
    os.makedirs(layout.state)
    stored = [f"{layout.root}/releases/r1/data/x"]
    with open(os.path.join(layout.component("database"), "images.json"), "w") as stream:
        json.dump(stored, stream)
    assert json_stores.repair(layout, layout.app) == {"images.json": 1}
    with open(os.path.join(layout.component("database"), "images.json")) as stream:
        assert json.load(stream) == [f"{layout.app}/data/x"]


def test_a_torn_store_is_left_as_it_is(host, put):
    path = put("images.json", f'["{host.layout.root}/releases/r1/data/x"'.encode())
    before = read(path)
    assert json_stores.repair(host.layout, host.layout.app) == {} and read(path) == before


def test_a_store_that_changes_meanwhile_is_left_as_it_is(host, put, monkeypatch):
    path = put("images.json", [f"{host.layout.root}/releases/r1/data/x"])
    found = json_stores.look(host.layout)
    monkeypatch.setattr(json_stores, "look", lambda _layout: put("images.json", ["new"]) and found)
    assert json_stores.repair(host.layout, host.layout.app) == {} and json.loads(read(path)) == ["new"]


def test_the_next_start_corrects_them(host, put):
    put("images.json", [f"{host.layout.root}/releases/r1/data/x"])
    host.live("r1")
    service = host.serve()
    assert json.loads(read(os.path.join(host.layout.component("database"), "images.json"))) == [f"{host.layout.app}/data/x"]
    put("images.json", [f"{host.layout.root}/releases/r1/data/x"])
    service.start()  # it runs, and may be writing
    assert json_stores.look(host.layout)[0].stale == 1
