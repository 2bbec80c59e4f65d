# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a real deploy, and of one that its watch took back."""
from __future__ import annotations

import stat
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def deployed(site):
    """A site with a verified release."""
    return site.deployed("v1")


def newest_watch(site):
    """The id of the last watch."""
    return max(path.name for path in (site.root / "state" / "watch").iterdir())


def test_without_a_watch_it_says_so(site, says):
    assert site.play("setup").outcome == "set_up"
    result = site.play("report")
    assert (result.status, result.outcome) == (2, "not_reported"), result.output
    assert says(result, f"NOT_REPORTED: watch of {site.root}: expected one to report on, found none. "
                        "Deploy a release, or start a watch with mobius.ops.monitor.")


def test_the_page_of_a_deploy(deployed, says):
    page = deployed.root / "reports" / f"watch-local-{newest_watch(deployed)}.html"
    assert f"Page: {page}" in " ".join(deployed.outputs[-1].split()), "the deploy has written it"
    page.unlink()
    before = deployed.tree()
    planned = deployed.play("report", "--check")
    assert (planned.outcome, deployed.tree()) == ("planned", before), planned.output
    result = deployed.play("report")
    assert (result.status, result.outcome, result.stats["mobius_report_file"]) == (0, "reported", str(page)), result.output
    assert says(result, f"REPORTED: Healthy: release {deployed.live()} serves (watch {newest_watch(deployed)}). Page: {page}")
    text = page.read_text()
    assert stat.S_IMODE(page.stat().st_mode) == 0o640
    assert f"Healthy: release {deployed.live()} serves" in text and "Put into service" in text and "Response time of health" in text
    assert deployed.record(deployed.live())["backup"] in text and "<script" not in text and deployed.secret() not in text
    changed = {name for name, facts in deployed.tree().items() if before.get(name) != facts}
    assert changed == {"reports", f"reports/{page.name}"}


def test_the_same_page_is_not_written_again(deployed):
    page = deployed.root / "reports" / f"watch-local-{newest_watch(deployed)}.html"
    before = page.stat().st_mtime_ns
    result = deployed.play("report")
    assert result.outcome == "reported" and page.stat().st_mtime_ns == before
    assert "changed=0" in result.output


def test_a_release_that_was_taken_back_and_the_watch_before_it(deployed):
    good, first = deployed.live(), newest_watch(deployed)
    result = deployed.deploy("v2", fault={"kind": "health", "after": 12}, mobius_watch_duration="40")
    assert result.outcome == "rolled_back", result.output
    result = deployed.play("report", mobius_report=False)  # that is for deploys; who asks for a report gets it
    text = Path(result.stats["mobius_report_file"]).read_text()
    assert f"Rolled back: release {good} serves" in text and "3 consecutive failed checks" in text
    assert deployed.incidents()[-1]["id"] in text and "What went wrong" in text and deployed.secret() not in text
    earlier = deployed.play("report", mobius_report_watch=first)
    assert earlier.stats["mobius_report_file"].endswith(f"watch-local-{first}.html"), earlier.output


def test_a_watch_that_is_not_there_is_told_with_those_that_are(deployed, says):
    result = deployed.play("report", mobius_report_watch="20200101_000000")
    assert (result.outcome, result.stats["mobius_report_file"]) == ("not_reported", "")
    assert says(result, "expected one to report on, found") and says(result, newest_watch(deployed))
