"""The example pipelines of docs/pipelines, as their forges run them: clean clones, a clean environment, the real collection.

What a forge does itself (checking out, passing artifacts on, packages of the image) is done here in its place. Python packages come from
the package registry, as they do in a pipeline: with the ranges that the collection asks for.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from junitparser import JUnitXml
from support.playbooks import BIN, ROOT

pytestmark = pytest.mark.xdist_group("pipelines")
EXAMPLES = ROOT / "docs" / "pipelines"
SCHEMAS = {"github-actions.yml": ["vendor.github-workflows"], "gitlab-ci.yml": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"]}


def load(name: str) -> dict:
    """An example."""
    return yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))


@dataclass
class Forge:
    """A repository of the sample application with an inventory, and runners that have nothing yet."""

    site: object
    folder: Path
    repository: Path
    tarball: Path

    def runner(self, job: str) -> tuple[Path, dict[str, str]]:
        """A clean clone and a clean environment for one job."""
        checkout = self.folder / job
        subprocess.run(["git", "clone", "-q", "--depth", "1", f"file://{self.repository}", checkout], check=True)
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "LC_ALL", "NODE_EXTRA_CA_CERTS", "npm_config_cache")
            or name.upper().startswith(("PIP_", "UV_", "NPM_CONFIG_"))
            or name.upper().endswith("_PROXY")
        }
        home = self.folder / f"home-{job}"
        home.mkdir()
        path = [part for part in kept["PATH"].split(os.pathsep) if part != str(BIN) and "shims" not in part]
        return checkout, {
            **kept,
            "PATH": os.pathsep.join(path),
            "HOME": str(home),
            "PIP_CACHE_DIR": str(ROOT / ".build" / "pip"),
            "CI": "true",
        }

    @staticmethod
    def shell(script: str, checkout: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
        """Run a script as both forges do."""
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script], cwd=checkout, env=environment, capture_output=True, text=True, check=False
        )


@pytest.fixture
def forge(served, tmp_path, request):
    subprocess.run(["make", "build"], cwd=ROOT, check=True, capture_output=True)
    repository = tmp_path / "repository"
    shutil.copytree(served.source("v2"), repository)
    operator = {**served.operator.settings, **getattr(request, "param", {}), "mobius_artifact_store": str(tmp_path / "store")}
    inventory = {
        "mobius": {
            "hosts": {"web1": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}},
            "vars": {
                **(yaml.safe_load((ROOT / "inventories/local/group_vars/mobius.yml").read_text())),
                **operator,
                "mobius_dotenv": {"MOBIUS_API_KEYS": served.secret(), "API_KEY": served.secret()},
            },
        }
    }
    (repository / "ops").mkdir()
    (repository / "ops" / "hosts.json").write_text(json.dumps(inventory))
    git = ["git", "-C", str(repository), "-c", "user.name=ada", "-c", "user.email=ada@example.com"]
    for command in (["init", "-q", "-b", "main"], ["add", "--all"], ["commit", "-q", "-m", "v2"]):
        subprocess.run([*git, *command], check=True)
    return Forge(served, tmp_path, repository, ROOT / ".build" / "dist" / "mobius-ops.tar.gz")


def told(checkout: Path) -> dict:
    """The JSON object that a deploy has left."""
    return json.loads((checkout / "summary.json").read_text(encoding="utf-8"))


def passed_on(source: Path, target: Path, patterns: list[str]) -> list[Path]:
    """Pass a job's artifacts on to another job."""
    found = [path for pattern in patterns for path in source.glob(pattern)]
    for path in found:
        (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target / path.relative_to(source))
    return found


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_forges_schema_accepts_it_and_it_keeps_secrets(name):
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", *SCHEMAS[name], EXAMPLES / name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert "set -x" not in text and "pull_request" not in text  # no secrets for what strangers propose
    for job in (load(name).get("jobs") or {}).values():
        for step in job["steps"]:  # what a person can choose, such as the name of a branch, would be run as shell
            assert "${{" not in step.get("run", "")


def github_job(forge: Forge, name: str, checkout: Path, environment: dict[str, str], only: tuple[str, ...] = (), **variables: str) -> bool:
    """Run the shell steps of a job, or some of them; whether all of them passed."""
    job = load("github-actions.yml")
    files = {kind: checkout.parent / f"{name}-{kind}" for kind in ("GITHUB_PATH", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
    environment = {
        **environment,
        **job["env"],
        **{kind: str(path) for kind, path in files.items()},
        "GITHUB_WORKSPACE": str(checkout),
        "RUNNER_TEMP": str(checkout.parent / f"{name}-temp"),
        "GITHUB_ACTOR": "ada",
        "GITHUB_SHA": "a" * 40,
        "MOBIUS_OPS": str(forge.tarball),
    }
    Path(environment["RUNNER_TEMP"]).mkdir(exist_ok=True)
    good = True
    for step in job["jobs"][name]["steps"]:
        if "run" not in step or (only and step["name"] not in only) or (not good and step.get("if") != "always()"):
            continue
        given = {**(job["jobs"][name].get("env") or {}), **(step.get("env") or {})}
        values = {
            key: variables[re.fullmatch(r"\$\{\{ (?:vars|secrets)\.(\w+) \}\}", text)[1]]
            if "." in text and "github." not in text
            else variables[key]
            for key, text in given.items()
        }
        added = dict(line.split("=", 1) for line in files["GITHUB_ENV"].read_text().splitlines()) if files["GITHUB_ENV"].exists() else {}
        paths = files["GITHUB_PATH"].read_text().split() if files["GITHUB_PATH"].exists() else []
        now = {**environment, **values, **added, "PATH": os.pathsep.join([*paths, environment["PATH"]])}
        done = forge.shell(step["run"], checkout, now)
        print(f"--- {step['name']}\n{done.stdout}{done.stderr}")
        good = good and done.returncode == 0
    return good


def test_github_actions_build_and_deploy(forge, capsys):
    checkout, environment = forge.runner("build")
    assert github_job(forge, "build", checkout, environment), capsys.readouterr().out
    upload = next(step for step in load("github-actions.yml")["jobs"]["build"]["steps"] if "upload-artifact" in step.get("uses", ""))
    other, environment = forge.runner("deploy")
    assert len(passed_on(checkout, other, upload["with"]["path"].split())) == 2
    variables = {"MOBIUS_INVENTORY": "ops/hosts.json", "DEPLOY_KEY": "a key\nof two lines"}
    assert github_job(forge, "deploy", other, environment, **variables), capsys.readouterr().out
    summary = told(other)
    assert (summary["outcome"], summary["good"], summary["hosts"]) == ("deployed", True, {"web1": "ok"})
    assert summary["release"] == forge.site.live() and re.match(r"\d{4}-\d\d-\d\d-[0-9a-f]{8}-[0-9a-f]{8}$", forge.site.live())
    assert "ada" in {event["who"] for event in forge.site.history()}
    names = {case.name for suite in JUnitXml.fromfile(str(other / "junit.xml")) for case in suite}
    assert {"outcome", "disk [web1]", "Back up [web1]", "Switch [web1]"} <= names, names
    assert f"**deployed**: {summary['message']}" in (forge.folder / "deploy-GITHUB_STEP_SUMMARY").read_text()
    assert (forge.folder / "deploy-temp" / "key").read_text() == "a key\nof two lines\n"

    # The same artifact, damaged on its way: nothing is deployed, and the summary's step still runs.
    damaged, environment = forge.runner("damaged")
    for path in passed_on(checkout, damaged, upload["with"]["path"].split()):
        if path.suffix == ".gz":
            (damaged / path.relative_to(checkout)).write_bytes(b"damaged")
    before = forge.site.live()
    capsys.readouterr()
    assert not github_job(forge, "deploy", damaged, environment, ("Deploy", "Show what came of it"), **variables)
    assert "FAILED" in (said := capsys.readouterr().out) and "Traceback" not in said, said
    assert not (damaged / "summary.json").exists() and forge.site.live() == before


def gitlab_job(forge: Forge, name: str, checkout: Path, environment: dict[str, str], **variables: str) -> subprocess.CompletedProcess:
    """Run the script of a job in one shell."""
    config = load("gitlab-ci.yml")
    head = subprocess.run(
        ["git", "-C", str(forge.repository), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = {
        **environment,
        **config["variables"],
        "CI_PROJECT_DIR": str(checkout),
        "GITLAB_USER_LOGIN": "bert",
        "CI_COMMIT_SHA": head,
        "CI_COMMIT_SHORT_SHA": head[:8],
        "CI_PROJECT_URL": "https://git.example.com/team/app",
        "MOBIUS_OPS": str(forge.tarball),
        **variables,
    }
    return forge.shell("\n".join(config[name]["script"]), checkout, environment)


@pytest.mark.parametrize("forge", [{"mobius_watch_duration": "900", "mobius_failure_threshold": "3"}], indirect=True)
def test_gitlab_ci_build_and_deploy(forge):
    checkout, environment = forge.runner("build")
    done = gitlab_job(forge, "build", checkout, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    other, environment = forge.runner("deploy")
    assert len(passed_on(checkout, other, load("gitlab-ci.yml")["build"]["artifacts"]["paths"])) == 2
    key = forge.folder / "key"
    key.write_text("a key\n")
    with forge.site.spoiled(kind="health"):  # the release turns bad in its watch
        done = gitlab_job(forge, "deploy", other, {**environment}, MOBIUS_INVENTORY="ops/hosts.json", DEPLOY_KEY=str(key))
    summary = told(other)
    assert done.returncode == 2 and (summary["outcome"], summary["good"]) == ("rolled_back", False), done.stdout + done.stderr
    assert summary["facts"]["mobius_verdict"] == "rolled_back" and summary["hosts"] == {"web1": "failed"}
    failed = [
        case.name for suite in JUnitXml.fromfile(str(other / "junit.xml")) for case in suite if not case.is_passed and not case.is_skipped
    ]
    assert "outcome" in failed, failed


@pytest.mark.parametrize("run, actor", [(github_job, "ada"), (gitlab_job, "bert")], ids=["github", "gitlab"])
def test_awx_is_launched_with_the_commit(run, actor, tmp_path):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append((self.path, self.headers["Authorization"], json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(201 if self.headers["Authorization"] == "Bearer t0ken" else 401)
            self.end_headers()

        def log_message(self, *_words):
            pass

    seen: list = []
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", repository], check=True)
    subprocess.run(
        [
            "git",
            "-C",
            str(repository),
            "-c",
            "user.name=ada",
            "-c",
            "user.email=a@example.com",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "x",
        ],
        check=True,
    )
    forge = Forge(None, tmp_path, repository, tmp_path / "none")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        for number, token in enumerate(("t0ken", "wrong")):
            checkout, environment = forge.runner(f"launch{number}")
            environment["NO_PROXY"] = environment["no_proxy"] = "127.0.0.1"
            variables = {
                "MOBIUS_AWX": f"http://127.0.0.1:{server.server_port}",
                "AWX_TOKEN": token,
                "REPOSITORY": "https://git.example.com/team/app.git",
            }
            shutil.rmtree(checkout.parent / "launch-temp", ignore_errors=True)
            done = run(forge, "launch", checkout, environment, **variables)
            good = done if isinstance(done, bool) else done.returncode == 0
            assert good == (token == "t0ken"), done
        server.shutdown()
    path, _token, body = seen[0]
    assert path == "/api/v2/workflow_job_templates/MOBIUS%20guarded%20deploy++Default/launch/"
    given = body["extra_vars"]
    assert given["mobius_operator"] == actor and re.fullmatch("[0-9a-f]{40}", given["mobius_release_ref"]), given
    assert given["mobius_release_source"].startswith("https://git.example.com/team/app")
    assert re.fullmatch(r"[\d-]{10}-[0-9a-f]{8}", given["mobius_version"])
    asked = {one["variable"] for one in yaml.safe_load((ROOT / "awx" / "surveys.yml").read_text())["awx_questions"].values()}
    assert set(given) <= asked
