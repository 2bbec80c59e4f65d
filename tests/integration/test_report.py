# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of a real deploy, and of one that its watch took back."""

from __future__ import annotations

import stat
from pathlib import Path

from support import playbooks


def newest_watch(site):
    """The id of the last watch."""
    return max(path.name for path in (site.root / "state" / "watch").iterdir())


def test_the_page_of_a_deploy(bare, says):
    """Nothing to report on, then a deploy that writes its page, and the page written again."""
    result = bare.play("report")
    assert (result.status, result.outcome) == (2, "not_reported"), result.output
    assert says(
        result,
        f"NOT_REPORTED: watch of {bare.root}: expected one to report on, found none. "
        "Deploy a release, or start a watch with mobius.ops.monitor.",
    )

    deployed = bare.deploy("v1")
    assert deployed.outcome == "deployed", deployed.output
    page = bare.root / "reports" / f"watch-local-{newest_watch(bare)}.html"
    assert f"Page: {page}" in " ".join(deployed.output.split()), "the deploy has written it"
    page.unlink()
    before = bare.tree()
    planned = bare.play("report", "--check")
    assert (planned.outcome, bare.tree()) == ("planned", before), planned.output
    result = bare.play("report")
    assert (result.status, result.outcome, result.stats["mobius_report_file"]) == (0, "reported", str(page)), result.output
    assert says(result, f"REPORTED: Healthy: release {bare.live()} serves (watch {newest_watch(bare)}). Page: {page}")
    text = page.read_text()
    assert stat.S_IMODE(page.stat().st_mode) == 0o640
    assert f"Healthy: release {bare.live()} serves" in text and "Put into service" in text and "Rounds by outcome" in text
    assert bare.record(bare.live())["backup"] in text and "<script" not in text and bare.secret() not in text
    changed = {name for name, facts in bare.tree().items() if before.get(name) != facts}
    assert changed == {"reports", f"reports/{page.name}"}

    written = page.stat().st_mtime_ns
    result = bare.play("report")
    assert result.outcome == "reported" and page.stat().st_mtime_ns == written, "the same page is not written again"
    assert "changed=0" in result.output

    result = bare.play("report", mobius_report_watch="20200101_000000")
    assert (result.outcome, result.stats["mobius_report_file"]) == ("not_reported", "")
    assert says(result, "expected one to report on, found") and says(result, newest_watch(bare))


def test_a_release_that_was_taken_back_and_the_watch_before_it(served):
    good, first = served.live(), newest_watch(served)
    with served.spoiled(kind="health"):
        result = served.deploy("v2", **served.guarded)
    assert result.outcome == "rolled_back", result.output
    result = served.play("report", mobius_report=False)  # that is for deploys; who asks for a report gets it
    text = Path(result.stats["mobius_report_file"]).read_text()
    assert f"Rolled back: release {good} serves" in text and "3 consecutive failed checks" in text
    assert served.incidents()[-1]["id"] in text and "What went wrong" in text and served.secret() not in text
    earlier = served.play("report", mobius_report_watch=first)
    assert earlier.stats["mobius_report_file"].endswith(f"watch-local-{first}.html"), earlier.output


def test_a_deploy_is_a_good_one_though_the_controller_cannot_draw(served, says, monkeypatch, tmp_path):
    (tmp_path / "pygal.py").write_text("raise ImportError('no pygal here')\n")
    monkeypatch.setattr(playbooks, "WARM", None)  # Python has to begin without it
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = served.deploy("v2")
    assert (result.status, result.outcome, result.stats["mobius_report_file"]) == (0, "deployed", ""), result.output
    assert says(result, "no page was written: Python of the controller: expected the package pygal")
