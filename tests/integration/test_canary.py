"""A release that answers every check and shows none of the images that users stored before it."""

from __future__ import annotations

import json


def test_a_release_that_loses_images_is_taken_back(bare, says):
    """The application keeps their absolute paths; here they lead elsewhere, as after a move of its folder."""
    site = bare
    assert site.deploy("v1").outcome == "deployed", site.outputs[-1]
    good, register = site.live(), site.root / "shared" / "data" / "images.json"
    stored = json.loads(register.read_text())
    assert len(stored["imagesByProject"]["mobius-canary"]) == 1

    code = site.source("v2") / "src" / "api" / "images.js"
    code.write_text(code.read_text().replace("[folders.data, folders.uploads]", "['/elsewhere']"))
    result = site.deploy("v2")
    assert (result.status, result.outcome, site.live()) == (2, "rolled_back", good), result.output
    assert says(result, f"what release {good} stored on"), result.output
    assert says(result, "expected to be shown by release v2-"), result.output
    assert says(result, "canary listed ("), result.output
    (incident,) = site.incidents()
    assert incident["severity"] == 2 and {test["name"] for test in incident["evidence"]["lines"]} == {"canary listed", "canary served"}
    assert json.loads(register.read_text()) == stored, "one is enough"

    assert site.deploy("v3").outcome == "deployed", site.outputs[-1]
    assert site.play("rollback").outcome == "rolled_back", site.outputs[-1]
    assert json.loads(register.read_text()) == stored
