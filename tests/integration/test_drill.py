"""The drill with the real application: what passes, what must not, and that the live service does not notice."""

from __future__ import annotations

import json
import threading
import typing as t
import zipfile
from pathlib import Path

import pytest
from support import damage
from support.application import png
from support.waiting import HANG

pytestmark = pytest.mark.xdist_group("drill")


class Visitor(threading.Thread):
    """Somebody who uses the live service all the time."""

    def __init__(self, site: t.Any) -> None:
        super().__init__(daemon=True)
        self.client, self.ending = site.client(), threading.Event()
        self.answers: list[tuple[int, str]] = []

    def run(self) -> None:
        while not self.ending.wait(0.02):
            answer = self.client.get("/health")
            self.answers.append((answer.status_code, answer.json()["status"]))

    def gone(self) -> list[tuple[int, str]]:
        """What was answered, one of each kind; there were some."""
        self.ending.set()
        self.join()
        assert self.answers
        return sorted(set(self.answers))


def live(site: t.Any) -> dict[str, t.Any]:
    """What a drill must not touch: the process, and all files but history, lock, reports, incidents and the live access log."""
    kept = ("reports", "state/history.jsonl", "state/drill.lock", "state/incidents.lock", "state")
    tree = {name: facts for name, facts in site.tree().items() if not name.startswith(("reports", "incidents")) and name not in kept}
    data = {
        path.name: path.read_bytes()
        for path in (site.root / "shared" / "data").iterdir()
        if path.is_file() and not path.name.endswith("-shm")
    }  # locks, which every reader moves
    return {"tree": tree, "data": data, "pid": site.service()["pid"], "restarts": site.service()["restarts"]}


def drill(site: t.Any, **extra: t.Any) -> t.Any:
    """Run the playbook while the live service is in use; nothing of it changes, and nothing of the drill is left."""
    before, visitor = live(site), Visitor(site)
    processes = set(site.processes())
    visitor.start()
    result = site.play("drill", **extra)
    assert visitor.gone() == [(200, "ok")]
    assert live(site) == before
    assert set(site.processes()) == processes
    assert not list(site.root.glob(".drill-*")) and not (site.root / "state" / "drill.json").exists()
    return result


def last_drill(site: t.Any) -> dict[str, t.Any]:
    """The newest event of a drill."""
    return [event for event in site.history() if event["what"] == "drill"][-1]


@pytest.fixture(scope="module")
def made(shared_served):
    """The files of a backup of a site with an upload and a counter, and what is in them; the data has changed since."""
    client = shared_served.client()
    client.upload("board.png", png())
    for _time in range(3):
        client.http.post(client.url + "/api/counter", timeout=HANG).raise_for_status()
    archive = Path(shared_served.play("backup").stats["mobius_backup"])
    client.http.post(client.url + "/api/counter", timeout=HANG).raise_for_status()
    return {path: path.read_bytes() for path in (archive, Path(f"{archive}.sha256"))}


@pytest.fixture
def archive(made):
    """That backup, undamaged."""
    for path, content in made.items():
        path.write_bytes(content)
    return next(iter(made))


@pytest.fixture
def site(shared_served):
    """A site with v1 live, which a drill does not touch."""
    return shared_served


def test_the_backup_passes_while_the_live_service_goes_on(site, archive, says):
    result = drill(site, mobius_backup="newest", mobius_drill_environment={"MOBIUS_FFMPEG": "ffmpeg"})
    assert (result.status, result.outcome) == (0, "drill_passed"), result.output
    assert result.stats["mobius_backup"] == str(archive) and float(result.stats["mobius_recovery_time"]) > 0
    assert says(result, "1 databases opened, the application was well on them; recovery time")
    told = json.loads(Path(result.stats["mobius_report_file"]).with_suffix(".json").read_text())
    assert told["verdict"] == "passed" and told["application"]["release"] == site.live()
    assert told["application"]["isolation"] == "mount_namespace"
    [database] = told["databases"]
    assert database["counts"]["uploads"] == 1
    event = last_drill(site)
    assert (event["what"], event["verdict"], event["archive"]) == ("drill", "passed", str(archive))
    assert "Restore drill passed" in Path(result.stats["mobius_report_file"]).read_text()
    assert site.client().get("/api/counter").json() == {"value": 4}


def test_data_that_the_application_cannot_start_on_fails(site, archive, says):
    """The database is sound for SQLite and lacks a key of the settings: only the application can tell."""
    for path in (site.root / "incidents").iterdir():  # of another test's drill
        path.unlink()
    damage.replace(archive, "config/.env", b"NOTHING=1\n", manifest=True)
    result = drill(site)
    assert (result.status, result.outcome) == (2, "drill_failed"), result.output
    assert says(result, "DRILL_FAILED: at the step application:") and says(result, "needs MOBIUS_API_KEYS")
    event = last_drill(site)
    assert (event["verdict"], event["step"], event["recovery_time"]) == ("failed", "application", None)
    assert "Restore drill FAILED" in Path(event["report"]).read_text()
    (incident,) = site.incidents()
    assert incident["id"] == result.stats["mobius_incident"]
    assert (incident["cause"], incident["status"]) == ("drill", "open") and "needs MOBIUS_API_KEYS" in incident["summary"]


def test_a_damaged_database_fails_and_no_output_has_a_secret(site, archive, says):
    with zipfile.ZipFile(archive) as opened:
        content = damage.scribble(opened.read("database/mobius.db"))
    damage.replace(archive, "database/mobius.db", content, manifest=True)
    known = len(site.history())
    result = drill(site)
    assert (result.status, result.outcome) == (2, "drill_failed") and says(result, "database/mobius.db"), result.output
    assert [event["verdict"] for event in site.history()[known:] if event["what"] == "drill"] == ["failed"]
    assert site.secret() not in "".join(site.outputs)
    for report in (site.root / "reports").iterdir():
        assert site.secret() not in report.read_text()
