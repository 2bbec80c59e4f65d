"""Deploys and rollbacks that run the whole suite after the switch: renders count there, and not only answers."""

from __future__ import annotations

import json

import junitparser


def test_a_release_that_cannot_render_is_taken_back(bare, says, tmp_path):
    site, junit = bare, tmp_path / "smoke.xml"
    site.operator.settings.update(mobius_smoke_after_switch="suite", mobius_smoke_junit=str(junit))
    assert site.deploy("v1").outcome == "deployed", site.outputs[-1]
    document = junitparser.JUnitXml.fromfile(str(junit))
    assert (document.tests, document.failures, document.skipped) == (21, 0, 0)
    good = site.live()

    code = site.source("v2") / "scripts" / "render-scenes.mjs"  # its answers are right, its clips are not made
    code.write_text(code.read_text().replace("'libx264'", "'no-such-codec'"))
    result = site.deploy("v2")
    assert (result.status, result.outcome, site.live()) == (2, "rolled_back", good), result.output
    assert says(result, "Run the whole suite of smoke tests: smoke tests of http://127.0.0.1:"), result.output
    (incident,) = site.incidents()
    evidence = [test["name"] for test in incident["evidence"]["lines"]]
    assert evidence == ["rendered"] and incident["severity"] == 2
    assert "no-such-codec" in json.dumps(incident) or "status == 'failed'" in json.dumps(incident)
    assert [path for path in (site.root / "shared" / "uploads").rglob("*") if path.is_file()] == []
    assert site.play("status").stats["mobius_release"] == good

    assert site.deploy("v3").outcome == "deployed", site.outputs[-1]
    result = site.play("rollback")
    assert (result.outcome, site.live()) == ("rolled_back", good), result.output
    facts = json.loads(junit.with_suffix(".json").read_text())
    assert facts["passed"] and facts["release"] == good and site.secret() not in json.dumps(facts) + "".join(site.outputs)
