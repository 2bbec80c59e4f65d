"""What keeps a deploy from ending well is in its last message: the cause, the setting that helps, the log to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._target import shared_folders

ELSEWHERE = "http://elsewhere.example"


def broken(site, version, code, name="src/api/health.js"):
    """A version whose source has another file."""
    path = site.source(version) / name
    path.write_text(code + path.read_text())
    return version


def test_the_exception_of_a_release_that_does_not_start_is_in_the_outcome(served, says):
    site, good = served, served.live()
    result = site.deploy(broken(site, "v2", "const broken = ;\n"))
    assert (result.outcome, site.live()) == ("failed", good), result.output
    log = site.root / "shared" / "logs" / "console.log"
    assert says(result, "found SyntaxError: Unexpected token ';' (src/api/health.js:1); the service "), result.output
    assert says(result, f"Its last lines are in this result and in {log}. Release {good} serves again."), result.output
    (incident,) = site.incidents()
    assert "SyntaxError: Unexpected token" in incident["summary"] and any("SyntaxError" in line for line in incident["evidence"]["lines"])


def test_a_first_deploy_whose_checks_are_refused_names_the_setting_and_the_log_of_its_instance(bare, says, free_port):
    site = bare
    public = free_port()
    site.operator.settings.update(
        mobius_proxy_port=public,
        mobius_standby_port=free_port(),
        mobius_state="shared",
        mobius_check_origin=ELSEWHERE,
        mobius_ready_timeout=5,
    )
    assert site.play("setup").outcome == "set_up", site.outputs[-1]
    result = site.deploy("v1")
    assert result.outcome == "failed", result.output
    log = site.root / "shared" / "logs" / f"console-{site.operator.settings['mobius_port']}.log"
    for words in (
        "status 403 instead of 200 (CORS origin not allowed)",
        f"the Origin of mobius_check_origin ({ELSEWHERE}): put it into MOBIUS_CORS_ORIGINS in shared/config/.env (mobius_dotenv)",
        f"in {log}.",
    ):
        assert says(result, words), result.output
    assert "FAILED: Put the release into service: release v1" in " ".join(result.output.split())


@pytest.mark.parametrize("proxied", ["exclusive"], indirect=True)
def test_the_log_of_a_release_that_fails_on_a_copy_of_the_data_is_kept_and_named(proxied, says):
    site, good = proxied, proxied.live()
    site.play("setup")
    code = "if (process.env.MOBIUS_DRILL) throw new TypeError('cannot read the copy');\n"
    result = site.deploy(broken(site, "v2", code))
    assert (result.outcome, site.live()) == ("failed", good), result.output
    log = site.root / "monitor_logs" / "gate.log"
    assert says(result, "On a copy of the data: release v2-"), result.output
    assert says(result, "found TypeError: cannot read the copy (src/api/health.js:1:37); the service "), result.output
    assert says(result, f"in this result and in {log}."), result.output
    assert "TypeError: cannot read the copy" in log.read_text()


def test_a_write_outside_the_shared_folders_is_a_warning_with_the_line_that_helps(served, says):
    site = served
    result = site.deploy("v2", fault={"kind": "writes"})
    assert result.outcome == "deployed", result.output
    line = "- {path: reports, component: generated, folder: .reports}"
    assert says(result, "WARNING: The application could not open reports/today.json: the folder does not exist."), result.output
    assert says(result, f"then run setup and deploy: {line}."), result.output
    (message,) = result.stats["mobius_write_attempts"]
    assert message.endswith(line)
    (told,) = [row for row in site.watch_logs()[-1].read_text().splitlines() if "reports/today.json" in row]
    assert " WARN The application could not open" in told
    assert line in Path(result.stats["mobius_report_file"]).read_text()

    folders = [*shared_folders.DEFAULT, {"path": "reports", "component": "generated", "folder": ".reports"}]
    site.operator.settings["mobius_shared_folders"] = folders
    assert site.play("setup").outcome == "set_up", site.outputs[-1]
    mended = site.deploy("v3", fault={"kind": "writes"})
    assert (mended.outcome, mended.stats["mobius_write_attempts"]) == ("deployed", []), mended.output
    assert (site.root / "shared" / "out" / ".reports" / "today.json").read_text() == "{}"


def test_a_smoke_test_that_fails_names_the_log_and_what_the_watch_found_by_then(served, says):
    site, good = served, served.live()
    result = site.deploy(
        "v2", fault={"kind": "writes"}, mobius_smoke_checks=[{"name": "client", "url": f"http://127.0.0.1:{site.port}/nothing"}]
    )
    assert (result.outcome, site.live()) == ("rolled_back", good), result.output
    assert says(result, "first client: status 401 instead of 200 (this request needs the header X-Mobius-API-Key or"), result.output
    assert says(result, f"The log of the application: {site.root}/shared/logs/console.log."), result.output
    assert says(result, "WARNING: The application could not open reports/today.json"), result.output


def test_a_rollback_warns_of_what_the_older_release_writes_elsewhere(served, says):
    site, good = served, served.live()
    code = (
        "import { writeFileSync } from 'node:fs';\n"
        "try { writeFileSync('reports/x.json', '{}'); } catch (error) { console.error(error.message); }\n"
    )
    assert site.deploy(broken(site, "v2", code)).outcome == "deployed", site.outputs[-1]
    writes = site.live()
    back = site.play("rollback", mobius_release_id=good)
    assert (back.outcome, back.stats["mobius_write_attempts"]) == ("rolled_back", []), back.output
    again = site.play("rollback", mobius_release_id=writes)
    assert again.outcome == "rolled_back", again.output
    (message,) = again.stats["mobius_write_attempts"]
    assert "could not open reports/x.json" in message and says(again, f"WARNING: {message}."), again.output
