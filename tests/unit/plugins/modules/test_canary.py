"""What one release has stored, a later one has to show: left once, looked for after each switch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, ServiceError
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import canaries
from ansible_collections.mobius.ops.plugins.modules import canary

LEAVE = [
    {"name": "canary picture", "url": "/images", "upload": {"field": "file"}, "key_header": "X-Key", "capture": {"id": "images[-1].id"}}
]
LOOK = [
    {"name": "canary listed", "url": "/images", "json": ["images[?id == '{id}']"]},
    {"name": "canary served", "url": "/images/{id}", "same_as": "canary picture"},
]


class Application:
    """Stores pictures, and shows them as long as it can find them."""

    def __init__(self, web):
        self.pictures, self.refuses = {}, 0
        web.answers["/images"] = self.images
        for number in range(1, 5):
            web.answers[f"/images/{number}"] = self.image

    def images(self, handler, body):
        if handler.command == "POST":
            if self.refuses:
                handler.send(self.refuses, "no")
                return
            self.pictures[str(len(self.pictures) + 1)] = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        handler.send(200, json.dumps({"images": [{"id": name} for name in self.pictures]}))

    def image(self, handler, _body):
        picture = self.pictures.get(handler.path.rpartition("/")[2])
        handler.send(200 if picture else 404, picture or b"")


@pytest.fixture
def application(web):
    """What is asked."""
    return Application(web)


@pytest.fixture
def ask(host, web, application):
    """Run the module on a host whose release r1 is live."""
    host.live("r1")

    def run(state="found", check_mode=False, **options):
        return canary.run(
            {
                "root": host.root,
                "state": state,
                "leave": LEAVE,
                "look": LOOK,
                "base_url": web.base,
                "timeout": HANG,
                "attempts": 1,
                "headers": {},
                "secret_headers": {"X-Key": "secret-key"},
                **options,
            },
            check_mode,
        )[:2]

    return run


@pytest.mark.parametrize("state", ["left", "found"])
def test_it_is_left_once_and_found_by_later_releases(host, ask, application, state):
    changed, result = ask(state)
    assert changed and (result["canary"], result["reason"], result["warnings"]) == ("left", "", [])
    host.live("r2")
    for again in ("left", "found"):
        changed, result = ask(again)
        assert not changed and result["canary"] == "found" and result["created"] and len(application.pictures) == 1
    path = Path(host.layout.state, "canary.json")
    assert path.stat().st_mode & 0o777 == 0o600 and "secret-key" not in path.read_text()


@pytest.mark.parametrize(
    "damage, words",
    [
        (dict.clear, r"canary listed \(.*; canary served \(status 404 instead of 200"),
        (lambda pictures: pictures.update({"1": b"other"}), r"canary served \(5 bytes that are not those that were uploaded\)"),
    ],
)
def test_a_release_that_does_not_show_it_is_refused(host, ask, application, damage, words):
    ask()
    host.live("r2")
    damage(application.pictures)
    told = rf"what release r1 stored on \S+: expected to be shown by release r2, found {words}.*mobius_app_path"
    with pytest.raises(ServiceError, match=told) as info:
        ask()
    assert [test["name"] for test in info.value.facts["tests"] if test["status"] == "failed"]
    changed, result = ask("left", check_mode=True)
    assert not changed and result["lost"] and application.pictures.keys() <= {"1"}
    changed, result = ask("left")  # before a switch: it is told, and the new release is not to blame
    assert changed and result["canary"] == "left" and "is not shown by release r2 any more: canary" in result["warnings"][0]
    assert ask()[1]["canary"] == "found"


@pytest.mark.parametrize(
    "status, key, words", [(401, {}, "no header X-Key was given"), (500, {"X-Key": "secret-key"}, "status 500 instead of 200")]
)
def test_when_nothing_can_be_stored_that_is_told_and_refuses_no_release(ask, application, status, key, words):
    application.refuses = status
    changed, result = ask(secret_headers=key)
    assert not changed and result["canary"] == "none" and words in result["reason"]
    assert result["warnings"][0].startswith("Whether data of before is still shown cannot be told: canary picture (status")


def test_without_a_key_now_it_cannot_be_looked_for(ask, web):
    ask()
    web.answers["/images"] = web.answers["/images/1"] = (401, "no")
    look = [{**step, "key_header": "X-Key"} for step in LOOK]
    assert ask(look=look, secret_headers={})[1]["canary"] == "none"


def test_check_mode_leaves_nothing(ask, application):
    changed, result = ask(check_mode=True)
    assert changed and result["canary"] == "none" and result["warnings"] == [] and not application.pictures


def test_a_mistake_in_a_step_is_told_before_anything_is_sent(ask, application):
    for wrong in ({"url": "/images/{other}"}, {"same_as": "nothing"}, {"name": "canary picture"}, {"secret_headers": {"X": "y"}}):
        with pytest.raises(InputError, match="step "):
            ask(look=[LOOK[0], {**LOOK[1], **wrong}])
    assert not application.pictures


@pytest.mark.parametrize(
    "components, made, stays",
    [
        (["logs"], None, True),
        (["config"], "2000-01-01T00:00:00Z", True),
        (["database"], "2000-01-01T00:00:00Z", False),
        (["uploads"], None, False),
        (["database", "uploads"], "2999-01-01T00:00:00Z", True),
    ],
)
def test_data_of_before_it_does_not_have_it(host, ask, components, made, stays):
    ask()
    canaries.after_restore(host.layout, components, made)
    assert bool(canaries.read(host.layout)) == stays
    canaries.forget(host.layout)
    canaries.after_restore(host.layout, components, made)
