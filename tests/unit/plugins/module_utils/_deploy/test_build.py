# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Building artifacts from folders, tar files and real git repositories."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import types

import pytest
from support.waiting import HANG, wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import clock, commands, processes, redaction, scratch
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, IntegrityError, OpsError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import artifacts, build_output, dependencies, sources
from ansible_collections.mobius.ops.plugins.module_utils._deploy import build as deploy_build
from ansible_collections.mobius.ops.plugins.modules import release_artifact

COMMAND = ["sh", "-c", "echo build >> $BUILDS; mkdir -p client/build && echo built > client/build/index.html"]
SHARED = ("data", "src/api/uploads")
LOCK = {"name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": {"": {"name": "app", "version": "1.0.0"}}}


def git(*words, folder):
    names = {
        f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "Ada"), ("EMAIL", "ada@mobius.example"))
    }
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **names}
    done = subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    for name, text in (
        ("package.json", '{"name": "app", "version": "1.0.0"}'),
        ("src/api/index.js", "listen()"),
        (".env", "KEY=secret"),
        ("data/mobius.db", "state"),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("BUILDS", str(tmp_path / "builds"))
    return tmp_path / "store"


@pytest.fixture
def builds(tmp_path):
    """How often the build command ran."""

    def count():
        path = tmp_path / "builds"
        return len(path.read_text().splitlines()) if path.exists() else 0

    return count


@pytest.fixture
def make(store):
    def run(source, version="1.0", ref="", check_mode=False, command=COMMAND, args=(), environment=None, output=None):
        builder = deploy_build.Builder(str(store), list(args), command, environment, output, SHARED)
        return builder.make(str(source), version, ref, check_mode)

    return run


def members(path):
    with tarfile.open(path) as archive:
        return archive.getnames()


def test_a_folder_becomes_an_artifact_that_lists_every_file(make, source, store):
    made = make(source)
    assert made["built"] and made["version"] == "1.0" and made["release_id"] == "1.0-" + made["digest"][:8]
    assert made["path"] == str(store / (made["release_id"] + ".tar.gz")) and made["source"] == str(source)
    assert members(made["path"]) == ["MANIFEST.json", "package.json", "client/build/index.html", "src/api/index.js"]
    manifest = artifacts.read_manifest(made["path"])
    assert sorted(manifest["files"]) == ["client/build/index.html", "package.json", "src/api/index.js"]
    done = subprocess.run(["sha256sum", "-c", os.path.basename(made["path"]) + ".sha256"], cwd=store, check=False)
    assert done.returncode == 0 and made["size"] == os.path.getsize(made["path"])
    assert not (source / "client").exists()


@pytest.mark.parametrize("check_mode", [True, False])
def test_files_that_a_shared_folder_would_hide_are_listed(source, store, tmp_path, check_mode):
    """Of a folder, and of a repository that was fetched; before it is built, when it is, and when it was built before."""
    for name in ("data/.gitkeep", "data/deep/node_modules/x", "uploads/a.png"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    shared = ["data", "out", "uploads"]
    repository = tmp_path / "repository"
    shutil.copytree(source, repository)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        git(*words, folder=repository)
    for given in (str(source), "file://" + str(repository)):
        for _time in range(2):
            builder = deploy_build.Builder(str(store), [], COMMAND, shared=shared)
            assert builder.make(given, "1.0", "", check_mode)["hidden"] == ["data/mobius.db", "uploads/a.png"]
    assert deploy_build.Builder(str(store), [], COMMAND).make(str(source), "1.0", "", True)["hidden"] == []


def test_a_service_needs_the_files_that_the_settings_name_and_keeps_folders_that_it_does_not_share(store, source):
    """A folder `data` is state for MOBIUS; for another service it may be a part of its source."""
    command = ["sh", "-c", "mkdir .next && echo built > .next/BUILD_ID"]
    plain = deploy_build.Builder(str(store), [], command, shared=["state"], required=[".next/BUILD_ID"], made=[".next"])
    (source / "state").mkdir()
    (source / "state/db").write_text("kept on the host")
    made = plain.make(str(source), "1.0", "", False)
    assert members(made["path"]) == ["MANIFEST.json", "package.json", ".next/BUILD_ID", "data/mobius.db", "src/api/index.js"]
    (source / ".next").mkdir()
    (source / ".next/BUILD_ID").write_text("built by a developer")
    assert plain.make(str(source), "1.0", "", True)["release_id"] == made["release_id"]
    with pytest.raises(InputError) as caught:
        deploy_build.Builder(str(store), [], ["true"], required=["dist/server.js"]).make(str(source), "1.1", "", False)
    assert str(caught.value) == (
        "build: expected dist/server.js in the built application, found none. "
        "Correct the source, mobius_build_command or mobius_required_files."
    )


PACKAGE = json.dumps({"name": "app", "version": "1.0.0", "dependencies": {"express": "^5.0.0"}})


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"package.json": PACKAGE}, "none, and package.json has dependencies"),
        ({"package.json": PACKAGE, "pnpm-lock.yaml": ""}, "pnpm-lock.yaml of pnpm, which npm ci does not read"),
        ({"package.json": PACKAGE, "yarn.lock": ""}, "yarn.lock of Yarn, which npm ci does not read"),
        ({"yarn.lock": ""}, "yarn.lock of Yarn, which npm ci does not read"),
        ({"package.json": json.dumps({"devDependencies": {"vite": "5"}})}, "none, and package.json has dependencies"),
    ],
)
def test_dependencies_without_a_lock_file_of_npm_are_refused_before_the_build(make, source, builds, check_mode, files, found):
    for name, text in files.items():
        (source / name).write_text(text)
    with pytest.raises(InputError) as caught:
        make(source, check_mode=check_mode)
    assert str(caught.value) == (
        f"release source '{source}': expected package-lock.json, found {found}. "
        "Run npm install --package-lock-only, try the service with it, and commit package-lock.json."
    )
    assert builds() == 0


def test_a_client_without_a_lock_file_is_refused_when_it_is_built(make, source):
    (source / "client").mkdir()
    (source / "client/package.json").write_text(PACKAGE)
    with pytest.raises(InputError, match=r"Run npm install --package-lock-only in client, .* and commit client/package-lock.json"):
        make(source, check_mode=True)
    assert make(source, check_mode=True, command=[])["release_id"]
    (source / "client/package-lock.json").write_text(json.dumps(LOCK))
    assert make(source, check_mode=True)["release_id"]


def test_a_service_without_dependencies_needs_no_lock_file(make, source):
    assert make(source)["built"]


def test_a_package_file_that_is_no_json_is_refused(make, source):
    (source / "package.json").write_text("{")
    with pytest.raises(InputError, match=r"release source '.*': expected JSON in package\.json, found Expecting"):
        make(source, check_mode=True)


def test_an_artifact_of_another_package_manager_is_refused(make, source, tmp_path):
    """One that an earlier version built; its service would start without dependencies."""
    path = tmp_path / "old.tar.gz"
    (source / "pnpm-lock.yaml").write_text("")
    files = dict(artifacts.walk(str(source)))
    about = {
        "schema": artifacts.SCHEMA,
        "version": "1.0",
        "digest": "0" * 64,
        "source": "x",
        "files": {name: artifacts.describe(where) for name, where in files.items()},
    }
    artifacts.pack(str(path), artifacts.MANIFEST, about, files)
    with pytest.raises(InputError, match=r"found pnpm-lock.yaml of pnpm"):
        make(path)


def test_the_same_source_and_version_are_built_once(make, source, builds):
    first, second = make(source), make(source)
    assert not second["built"] and builds() == 1
    assert {**second, "built": True} == first


def test_another_version_or_source_is_built_anew(make, source, builds):
    ids = {make(source)["release_id"], make(source, "1.1")["release_id"]}
    (source / "src/api/index.js").write_text("listen(2)")
    ids.add(make(source)["release_id"])
    assert len(ids) == 3 and builds() == 3


def test_an_artifact_whose_checksum_was_never_written_is_built_again(make, source, builds):
    os.unlink(make(source)["path"] + ".sha256")
    assert make(source)["built"] and builds() == 2


def test_a_kept_artifact_that_was_damaged_is_refused(make, source):
    path = make(source)["path"]
    with open(path, "ab") as stream:
        stream.write(b"x")
    with pytest.raises(IntegrityError, match="SHA-256"):
        make(source)


def test_an_artifact_is_used_as_it_is(make, source, tmp_path, builds):
    made = make(source)
    for suffix in ("", ".sha256"):
        os.rename(made["path"] + suffix, str(tmp_path / "copy.tar.gz") + suffix)
    again = make(tmp_path / "copy.tar.gz", "")
    assert not again["built"] and again["release_id"] == made["release_id"] and again["path"] == str(tmp_path / "copy.tar.gz")
    assert again["version"] == "1.0" and builds() == 1
    with pytest.raises(InputError, match=r"version 2\.0 \(mobius_version\), found version 1\.0 in its manifest"):
        make(tmp_path / "copy.tar.gz", "2.0")


def test_a_bare_tar_file_is_source(make, tmp_path, tar_gz, seal, builds):
    path = tar_gz(tmp_path / "src.tgz", [("package.json", "{}"), ("src/api/index.js", "x")])
    seal(path)
    made = make(path)
    assert made["built"] and builds() == 1 and made["source"] == path
    with pytest.raises(InputError, match="mobius_version: expected the version"):
        make(path, "")


@pytest.mark.parametrize(
    "damage, kind, words",
    [
        (lambda path: os.unlink(path + ".sha256"), InputError, r"no .*\.sha256"),
        (lambda path: os.unlink(path), InputError, "none of them|no .*src.tgz"),
        (lambda path: os.truncate(path, 100), IntegrityError, "SHA-256"),
    ],
)
def test_a_tar_file_is_verified_before_it_is_read(make, tmp_path, tar_gz, seal, damage, kind, words, builds, store):
    path = tar_gz(tmp_path / "src.tgz", [("package.json", "{}"), ("src/api/index.js", "x")])
    seal(path)
    damage(path)
    with pytest.raises(kind, match=words):
        make(path)
    assert builds() == 0 and not store.exists()


def test_a_hostile_tar_file_is_not_built(make, tmp_path, tar_gz, seal, builds):
    path = tar_gz(tmp_path / "src.tgz", [("package.json", "{}"), ("../evil", "x")])
    seal(path)
    with pytest.raises(IntegrityError, match="outside of the release"):
        make(path)
    assert builds() == 0


@pytest.mark.parametrize("source", ["/no/such/folder", "app.zip", ""])
def test_an_unknown_source_is_named(make, source):
    with pytest.raises(InputError, match=r"a folder, a \.tar\.gz or \.tgz file"):
        make(source)


def test_without_version_nothing_is_built(make, source, builds):
    with pytest.raises(InputError, match="mobius_version: expected the version of the release, found nothing"):
        make(source, "")
    assert builds() == 0


@pytest.mark.parametrize("version", ["../x", "-1", "a b"])
def test_a_version_that_is_no_name_is_refused(make, source, version, builds):
    with pytest.raises(InputError, match="version"):
        make(source, version)
    assert builds() == 0


def test_check_mode_builds_nothing(make, source, store, builds):
    told = make(source, check_mode=True)
    assert told["built"] and told["path"] is None and not store.exists() and builds() == 0
    made = make(source)
    assert told["release_id"] == made["release_id"]
    assert make(source, check_mode=True) == {**made, "built": False}


def test_a_source_without_package_json(make, source):
    (source / "package.json").unlink()
    with pytest.raises(InputError, match=r"a Node application with a package\.json, found none at its top"):
        make(source)


def test_a_failing_build_tells_its_cause_and_leaves_no_artifact(make, source, store):
    with pytest.raises(OpsError, match=r"build: sh .* found 7 \(no such plugin\)\. Correct the source or mobius_build_command"):
        make(source, command=["sh", "-c", "echo no such plugin >&2; exit 7"])
    assert not store.exists() or not [name for name in os.listdir(store) if "tar" in name]


def test_a_build_that_makes_no_client_is_no_artifact(make, source, store):
    with pytest.raises(InputError, match=r"build: expected client/build/index\.html"):
        make(source, command=["true"])
    (source / "src/api/index.js").unlink()
    with pytest.raises(InputError, match=r"build: expected src/api/index\.js"):
        make(source)


def test_a_missing_build_program_is_named(make, source):
    with pytest.raises(StateError, match=r"build: expected the program no-such-tool, found none .* correct the setting that names it"):
        make(source, command=["no-such-tool"])


def test_a_program_that_is_missing_is_told_from_one_that_may_not_be_run(tmp_path, monkeypatch):
    """A folder of the PATH that may not be looked into makes the system say "permission denied" of a program that is nowhere."""

    def refuse(argv, **_options):
        raise PermissionError(13, "Permission denied", argv[0])

    monkeypatch.setattr(commands.subprocess, "Popen", refuse)
    with pytest.raises(StateError, match="a test: expected the program no-such-tool, found none on the PATH"):
        commands.capture(["no-such-tool"], what="a test")
    for there in ("sh", str(tmp_path / "file")):
        with pytest.raises(PermissionError):
            commands.capture([there], what="a test")


@pytest.fixture
def repository(tmp_path, source):
    """A bare repository: v1 is a tag, main says 2, the branch ``feature/x`` says 3."""
    work = tmp_path / "work"
    bare = tmp_path / "app.git"
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare), folder=tmp_path)
    git("clone", "--quiet", str(bare), str(work), folder=tmp_path)
    git("checkout", "--quiet", "-B", "main", folder=work)
    commits = {}
    for text, step in (("1", ["tag", "v1"]), ("2", ["branch", "--force", "keep"]), ("3", ["branch", "feature/x"])):
        for name in ("package.json", "src/api/index.js"):
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text("{}" if name.endswith("json") else text)
        git("add", ".", folder=work)
        git("commit", "--quiet", "-m", text, folder=work)
        git(*step, folder=work)
        commits[text] = git("rev-parse", "HEAD", folder=work)
    git("push", "--quiet", "origin", "keep:main", "feature/x", "v1", folder=work)
    return str(bare), commits


def content(path):
    with tarfile.open(path) as archive:
        return archive.extractfile("src/api/index.js").read().decode()


@pytest.mark.parametrize("ref, text", [("", "2"), ("main", "2"), ("v1", "1"), ("feature/x", "3")])
def test_a_git_ref_is_a_branch_or_a_tag(make, repository, ref, text):
    url, commits = repository
    made = make(url, ref=ref)
    assert content(made["path"]) == text
    assert made["source"] == f"{url}@{commits[text]}"
    seconds = int(git("show", "--no-patch", "--format=%ct", commits[text], folder=url))
    assert made["committed"] == clock.from_epoch(seconds) == artifacts.read_manifest(made["path"])["committed"]
    assert make(url, ref=ref)["committed"] == made["committed"]  # the one that was built before


def test_a_folder_tells_no_commit(make, source):
    assert make(source)["committed"] is None


def test_a_git_ref_may_be_a_commit_and_the_url_have_a_scheme(make, repository):
    url, commits = repository
    for prefix in ("file://", "git+file://"):
        assert content(make(prefix + url, ref=commits["1"])["path"]) == "1"


def test_bad_git_refs(make, repository, builds):
    url, _commits = repository
    with pytest.raises(OpsError, match=r"found 128 \(fatal: invalid reference: no-such-branch\)\. Correct mobius_release_ref: no branch"):
        make(url, ref="no-such-branch")
    with pytest.raises(InputError, match="mobius_release_ref: expected a branch, tag or commit, found '--upload-pack=x'"):
        make(url, ref="--upload-pack=x")
    assert builds() == 0


def test_a_missing_git_repository_is_the_sources_fault(make, tmp_path):
    with pytest.raises(
        OpsError,
        match=r"^release source: git clone .* found 128 \(fatal: '.*gone\.git' does not appear to be a git "
        r"repository\)\. Correct mobius_release_source\.$",
    ):
        make(f"file://{tmp_path}/gone.git")


def test_a_git_server_that_cannot_be_reached_is_not_the_sources_fault(make):
    with socket.socket() as holder:  # bound, so that nobody else takes the port, and not listening
        holder.bind(("127.0.0.1", 0))
        with pytest.raises(OpsError, match=r"found 128 \(fatal: unable to access .*Check that the controller reaches the git ") as caught:
            make(f"http://127.0.0.1:{holder.getsockname()[1]}/app.git")
    assert "mobius_release_source" not in str(caught.value)


def test_a_damaged_git_repository_names_the_damage_first(make, repository):
    url, commits = repository
    damaged = os.path.join(url, "objects", commits["1"][:2], commits["1"][2:])
    os.chmod(damaged, 0o600)
    with open(damaged, "w") as stream:
        stream.write("garbage")
    with pytest.raises(OpsError, match=r"found 128 \(fatal: loose object .* is corrupt .*\)\. Repair the repository \(git fsck\)"):
        make("file://" + url)


def test_messages_of_git_are_english_whatever_the_locale(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert sources.git_environment()["LC_ALL"] == "C"


@pytest.mark.parametrize(
    "url, shown",
    [
        ("https://ada:t0ken@git.example/app.git", "https://git.example/app.git"),
        ("git+https://t0ken@git.example/app.git", "git+https://git.example/app.git"),
        ("git clone https://t0ken@a/b into http://ada:x@c/d", "git clone https://a/b into http://c/d"),
        ("git@git.example:app.git", "git@git.example:app.git"),
        ("ssh://git@git.example/a@b", "ssh://git@git.example/a@b"),
        ("https://git.example/a@b", "https://git.example/a@b"),
    ],
)
def test_passwords_in_urls_are_not_shown(url, shown):
    assert redaction.without_passwords(url) == shown


@pytest.mark.parametrize("url", ["https://ada:t0ken@git.example/app.git", "git+https://t0ken@git.example/app.git"])
def test_a_password_in_a_url_is_refused_and_not_shown(make, run_module, tmp_path, url):
    with pytest.raises(InputError, match=r"'\S*https://git.example/app.git': expected a URL without .* credential helper") as caught:
        make(url)
    assert "t0ken" not in str(caught.value)
    result = run_module(release_artifact, {"source": url, "version": "1", "store": str(tmp_path / "store")})
    assert "credential helper" in result["msg"] and "t0ken" not in str(result)


def test_a_password_in_what_git_prints_is_not_shown(tmp_path):
    with pytest.raises(OpsError) as caught:
        commands.run(["git", "clone", "http://ada:t0ken@127.0.0.1:1/app.git", str(tmp_path / "tree")], "/", "release source")
    assert "t0ken" not in str(caught.value) and "git clone" in str(caught.value)


def test_git_asks_nobody(make, web, tmp_path, monkeypatch):
    for name in ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "SSH_ASKPASS", "GIT_TERMINAL_PROMPT", "GIT_CONFIG_GLOBAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)  # a checkout has settings of its own
    monkeypatch.setenv("HOME", str(tmp_path))
    web.answers["/app.git/info/refs"] = lambda handler, _body: handler.send(401, WWW_Authenticate='Basic realm="x"')
    with pytest.raises(OpsError, match=r"terminal prompts disabled.*\. Give the controller's user access to the repository"):
        make(web.base + "/app.git")
    assert sources.git_environment()["GIT_SSH_COMMAND"] == "ssh -o BatchMode=yes"
    (tmp_path / ".gitconfig").write_text("[core]\n\tsshCommand = ssh -i key\n")
    assert "GIT_SSH_COMMAND" not in sources.git_environment()
    monkeypatch.setenv("GIT_SSH_COMMAND", "my-ssh")
    assert sources.git_environment()["GIT_SSH_COMMAND"] == "my-ssh"


def test_dependencies_are_installed_once_per_lock_file_and_arguments(source, tmp_path):
    store = str(tmp_path / "deps")
    assert dependencies.install(str(source), store, []) == (None, False)
    (source / "package-lock.json").write_text(json.dumps(LOCK))
    modules, new = dependencies.install(str(source), store, ["--offline"])
    assert new and os.path.isdir(modules)
    assert dependencies.install(str(source), store, ["--offline"]) == (modules, False)
    assert dependencies.lock_hash(str(source), ["--offline"]) != dependencies.lock_hash(str(source), [])
    assert not [name for name in os.listdir(store) if name.startswith(".installing")]


def test_dependencies_that_cannot_be_installed_leave_nothing_that_looks_installed(source, tmp_path):
    (source / "package-lock.json").write_text("{ not json")
    store = str(tmp_path / "deps")
    for _time in range(2):
        with pytest.raises(OpsError, match=r"dependencies [0-9a-f]{16}: npm ci"):
            dependencies.install(str(source), store, ["--offline"])
    assert [name for name in os.listdir(store) if not name.startswith(".")] == []


def test_unused_dependencies(tmp_path):
    store = tmp_path / "deps"
    for key in ("used", "old"):
        (store / key / "node_modules").mkdir(parents=True)
    (store / ".old.lock").write_text("")
    (tmp_path / "r1").mkdir()
    (tmp_path / "r1/node_modules").symlink_to("../deps/used/node_modules")
    assert dependencies.unused(str(store), [str(tmp_path / "r1"), str(tmp_path / "gone")]) == [str(store / "old")]
    assert dependencies.unused(str(tmp_path / "none"), []) == []


def test_two_that_build_the_same_get_the_same_artifact(store, source, builds):
    """Two processes at once: one builds, the other waits and takes what it has built."""
    code = (
        "import json, sys; from ansible_collections.mobius.ops.plugins.module_utils._deploy import build; "
        "print(json.dumps(build.Builder(sys.argv[1], [], json.loads(sys.argv[3])).make(sys.argv[2], '1.0', '', False)))"
    )
    command = ["sh", "-c", COMMAND[-1] + " && sleep 0.5"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(store), str(source), json.dumps(command)], env=environment, text=True, stdout=subprocess.PIPE
        )
        for _number in range(2)
    ]
    made = [json.loads(process.communicate(timeout=HANG)[0]) for process in both]
    assert made[0]["sha256"] == made[1]["sha256"] and sorted(one["built"] for one in made) == [False, True]
    assert builds() == 1


def test_without_settings_the_release_id_is_that_of_the_source(make, source):
    digest = artifacts.source_digest(str(source), SHARED)
    made = make(source)
    assert (made["digest"], made["release_id"]) == (digest, f"1.0-{digest[:8]}")
    assert make(source, args=["--include=dev"], environment={})["release_id"] == made["release_id"]  # what every build has
    assert "build_settings" not in artifacts.read_manifest(made["path"])


@pytest.mark.parametrize("settings", [{"args": ["--ignore-scripts"]}, {"environment": {"REACT_APP_BACKEND_URL": "https://a.example"}}])
def test_each_build_setting_is_a_part_of_the_release_id(make, source, builds, settings):
    plain, planned, made = make(source), make(source, check_mode=True, **settings), make(source, **settings)
    assert made["release_id"] == planned["release_id"] != plain["release_id"] and made["path"] != plain["path"] and builds() == 2
    assert not make(source, **settings)["built"] and not make(source)["built"]
    other = (
        {"args": ["--ignore-scripts", "--foo"]} if "args" in settings else {"environment": {"REACT_APP_BACKEND_URL": "https://b.example"}}
    )
    assert make(source, **other)["release_id"] not in (plain["release_id"], made["release_id"])


def test_text_from_a_survey_makes_the_same_release_id(make, source):
    typed = make(source, environment={"DEBUG": True, "PORT": 5000, "EMPTY": None})
    assert make(source, environment={"PORT": "5000", "EMPTY": "", "DEBUG": "true"})["release_id"] == typed["release_id"]


@pytest.mark.parametrize("environment", [{"A B": "x"}, {"": "x"}, {"A": "x\0y"}])
def test_a_variable_that_is_none_is_refused(make, source, environment, builds):
    with pytest.raises(InputError, match=r"mobius_build_environment .*: expected names of letters"):
        make(source, environment=environment)
    assert builds() == 0


SECRET = "sekret-of-the-build"


def test_values_that_look_like_secrets_are_not_printed_nor_written(make, run_module, source, store, tmp_path):
    environment = {"API_TOKEN": SECRET, "REACT_APP_BACKEND_URL": "https://private.example"}
    made = make(source, environment=environment)
    with gzip.open(made["path"]) as stream:
        assert SECRET.encode() not in (content := stream.read()) and b"private.example" not in content
    settings = artifacts.read_manifest(made["path"])["build_settings"]
    assert settings["environment"] == ["API_TOKEN", "REACT_APP_BACKEND_URL"] and len(settings["sha256"]) == 64
    record = tmp_path / "record"
    record.touch()
    result = run_module(
        release_artifact,
        {
            "source": str(source),
            "version": "2",
            "store": str(store),
            "environment": environment,
            "output_file": str(record),
            "build_command": ["sh", "-c", 'echo "with $API_TOKEN to $REACT_APP_BACKEND_URL"; echo "bad $API_TOKEN" >&2; exit 3'],
        },
    )
    assert "found 3 (bad ********)" in result["msg"] and SECRET not in result["msg"]
    assert SECRET not in record.read_text() and "with ******** to https://private.example" in record.read_text()


def test_what_a_build_does_and_prints_is_recorded(make, source, tmp_path):
    (source / "package-lock.json").write_text(json.dumps(LOCK))
    record = tmp_path / "record"
    record.touch()
    command = ["sh", "-c", "echo one; echo two >&2; " + COMMAND[-1]]
    make(source, command=command, output=build_output.Recorded(str(record)))
    found = list(build_output.entries(record.read_text()))
    assert [text for kind, text in found if kind == "phase"] == [
        "fetching the source",
        "installing the dependencies of the application",
        "running " + " ".join(command),
        "packing the artifact",
    ]
    assert {text for kind, text in found if kind == "line"} >= {"one", "two"}


def test_a_record_that_cannot_be_written_fails_no_build(make, source, tmp_path):
    assert make(source, output=build_output.Recorded(str(tmp_path / "none" / "record")))["built"]


@pytest.fixture
def registry(web, tmp_path, monkeypatch):
    """Packages ``runtime`` and ``tool``, whose install scripts count themselves, and a source that needs both."""
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("INSTALLS", str(tmp_path / "installs"))
    packages = {"": {"name": "app", "version": "1.0.0", "dependencies": {"runtime": "1.0.0"}, "devDependencies": {"tool": "1.0.0"}}}
    for name in ("runtime", "tool"):
        about = {"name": name, "version": "1.0.0", "scripts": {"install": f"echo {name} $MODE >> $INSTALLS"}, "bin": {name: "run.js"}}
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for path, text in (("package/package.json", json.dumps(about)), ("package/run.js", "#!/usr/bin/env node\n")):
                member = tarfile.TarInfo(path)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        web.answers[f"/{name}.tgz"] = (200, content.getvalue())
        packages[f"node_modules/{name}"] = {
            "version": "1.0.0",
            "resolved": f"{web.base}/{name}.tgz",
            "hasInstallScript": True,
            "bin": {name: "run.js"},
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(content.getvalue()).digest()).decode(),
            **({"dev": True} if name == "tool" else {}),
        }
    source = tmp_path / "source"
    (source / "src/api").mkdir(parents=True)
    (source / "src/api/index.js").write_text("listen()")
    (source / "package.json").write_text(json.dumps(packages[""]))
    (source / "package-lock.json").write_text(json.dumps({**LOCK, "packages": packages}))
    return source


def test_an_install_script_that_fails_in_the_build_names_the_builds_setting(make, registry, monkeypatch):
    monkeypatch.setenv("INSTALLS", "/nonexistent/installs")
    with pytest.raises(OpsError, match=r"npm ci --include=dev: .* or add --ignore-scripts to mobius_build_npm_ci_args\. npm's whole log: "):
        make(registry)
    assert make(registry, args=["--ignore-scripts"])["built"]


@pytest.fixture
def installs(tmp_path):
    """The packages whose install scripts ran, in order."""
    return lambda: sorted((tmp_path / "installs").read_text().split()) if (tmp_path / "installs").exists() else []


def both(run_module, source, store, **options):
    return run_module(
        release_artifact,
        {
            "source": str(source),
            "version": "1.0",
            "store": str(store),
            "build_command": COMMAND,
            "ship_npm_ci_args": ["--omit=dev"],
            **options,
        },
    )


def test_dependencies_for_hosts_come_from_the_builds_installation(run_module, registry, store, installs, tmp_path):
    made = both(run_module, registry, store)
    assert made["dependencies"]["built"] and installs() == ["runtime", "tool"]
    names = members(made["dependencies"]["path"])
    assert "node_modules/runtime/package.json" in names and "node_modules/.bin/runtime" in names
    assert not [name for name in names if "tool" in name]
    build = dependencies.lock_hash(str(registry), ["--include=dev"])
    assert sorted(name for name in os.listdir(store / "deps" / build / "node_modules") if name[0] != ".") == ["runtime", "tool"]
    subprocess.run(["npm", "ci", "--omit=dev", "--ignore-scripts"], cwd=registry, check=True, capture_output=True)
    (tmp_path / "shipped").mkdir()
    artifacts.unpack(made["dependencies"]["path"], str(tmp_path / "shipped"))
    shipped, installed = (
        {
            name: content.read_bytes()
            for content in (folder / "node_modules").rglob("*")
            if content.is_file()
            for name in [str(content.relative_to(folder))]
        }
        for folder in (tmp_path / "shipped", registry)
    )
    assert shipped.keys() == installed.keys()
    assert {name: text for name, text in shipped.items() if ".package-lock" not in name} == {
        name: text for name, text in installed.items() if ".package-lock" not in name
    }


@pytest.mark.parametrize(
    "options", [{"ship_npm_ci_args": ["--omit=dev", "--no-bin-links"]}, {"npm_ci_args": ["--no-bin-links"]}, {"environment": {"MODE": "x"}}]
)
def test_those_that_differ_in_more_are_installed_by_themselves(run_module, registry, store, installs, options):
    both(run_module, registry, store, **options)
    assert [word for word in installs() if word != "x"] == ["runtime", "runtime", "tool"]
    assert installs().count("x") == (2 if "environment" in options else 0)


def test_when_the_copy_cannot_be_pruned_they_are_installed(run_module, registry, store, installs, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    npm = subprocess.run(["which", "npm"], check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / "bin" / "npm").write_text(f'#!/bin/sh\n[ "$1" = prune ] && exit 1\nexec {npm} "$@"\n')
    (tmp_path / "bin" / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    names = members(both(run_module, registry, store)["dependencies"]["path"])
    assert installs() == ["runtime", "runtime", "tool"] and not [name for name in names if "tool" in name]


def test_npm_gets_its_arguments_and_variables_and_shares_what_only_a_client_reads(make, registry, installs):
    make(registry, args=["--ignore-scripts"])
    assert installs() == []
    make(registry, environment={"MODE": "fast", "REACT_APP_URL": "https://a.example"})
    assert installs() == ["fast", "fast", "runtime", "tool"]
    made = make(
        registry,
        environment={"MODE": "fast", "REACT_APP_URL": "https://b.example"},
        command=["sh", "-c", "mkdir -p client/build && echo $MODE $REACT_APP_URL > client/build/index.html"],
    )
    assert installs() == ["fast", "fast", "runtime", "tool"]
    with tarfile.open(made["path"]) as archive:
        assert archive.extractfile("client/build/index.html").read() == b"fast https://b.example\n"


def test_without_a_build_command_no_dependencies_are_installed(make, registry, installs, store):
    (registry / "client/build").mkdir(parents=True)
    (registry / "client/build/index.html").write_text("built before")
    assert make(registry, command=[])["built"] and installs() == [] and not (store / "deps").exists()


HOLD = ["sh", "-c", "echo $$ > $STARTED.new; mv $STARTED.new $STARTED; sleep 1000 & wait"]


@pytest.fixture
def building(store, source, tmp_path):
    """``building()``: the process of a build that goes on, and the process of its command; both are ended after the test."""
    (tmp_path / "tmp").mkdir()
    code = (
        "import json, sys; from ansible_collections.mobius.ops.plugins.modules import release_artifact\n"
        "try: release_artifact.run(json.loads(sys.argv[1]), False)\nexcept Exception as error: sys.exit(str(error))"
    )
    params = {
        "source": str(source),
        "version": "1.0",
        "ref": "",
        "store": str(store),
        "build_command": HOLD,
        "npm_ci_args": [],
        "environment": {},
        "ship_npm_ci_args": None,
        "shared_folders": [],
        "output_file": None,
        "required_files": [],
        "built_folders": [],
    }
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TMPDIR": str(tmp_path / "tmp"),
        "STARTED": str(tmp_path / "started"),
    }
    pids = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(params)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )  # it is ignored below nohup
        pids.append(process.pid)
        wait_until(lambda: (tmp_path / "started").exists() or process.poll() is not None, "the build command runs")
        pids.append(int((tmp_path / "started").read_text()))
        return process, pids[-1]

    yield start
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL) if pid == pids[-1] else os.kill(pid, signal.SIGKILL)


def running(leader):
    """The processes of a group, without zombies."""
    return [pid for pid in processes.group(leader) if processes.start_ticks(pid) is not None]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_build_ends_its_programs_and_removes_its_folders(building, tmp_path, store, number):
    process, command = building()
    assert [name[:17] for name in os.listdir(tmp_path / "tmp")] == ["mobius-ops-build-"]
    process.send_signal(number)
    _output, errors = process.communicate(timeout=HANG)
    assert errors.strip() == (
        f"the build: expected to run to its end, found {number.name}. Its temporary files were removed. Run it again."
    )
    assert os.listdir(tmp_path / "tmp") == [] and running(command) == []
    assert not [name for name in os.listdir(store) if not name.endswith(".lock")]


def test_what_a_killed_build_left_is_swept_by_the_next_one(building, make, source, tmp_path, store, monkeypatch):
    process, command = building()
    process.kill()
    process.wait()
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path / "tmp"))
    (left,) = os.listdir(tmp_path / "tmp")
    assert make(source)["built"] and os.listdir(tmp_path / "tmp") == [left], "its command still runs in it"
    os.killpg(command, signal.SIGKILL)
    wait_until(lambda: not running(command), "the command has ended")
    make(source)
    assert os.listdir(tmp_path / "tmp") == []


def test_unfinished_files_in_the_store_are_swept_unless_they_are_in_use(make, source, store):
    (store / "deps").mkdir(parents=True)
    left = [store / ".1.0-aaaaaaaa.tar.gz.x1y2z3.tmp", store / ".deps-0123.tar.gz.abc.tmp", store / "deps" / ".installing-0123"]
    used = [store / ".1.0-bbbbbbbb.tar.gz.x1y2z3.tmp", store / "deps" / ".installing-4567"]
    other = [store / ".1.0-aaaaaaaa.lock", store / "1.0-cccccccc.tar.gz", store / "note.tmp"]
    for path in (*left, *used, *other):
        (path / "node_modules").mkdir(parents=True) if "installing" in path.name else path.write_text("x")
    with contextlib.ExitStack() as stack:
        for lock in (store / ".1.0-bbbbbbbb.lock", store / "deps" / ".4567.lock"):
            fcntl.flock(stack.enter_context(open(lock, "w")), fcntl.LOCK_EX)
        assert make(source, check_mode=True)["built"] and all(path.exists() for path in left)
        make(source)
        assert not any(path.exists() for path in left) and all(path.exists() for path in (*used, *other))


@pytest.mark.parametrize("moment", ["made", "opened"])
def test_a_folder_that_another_run_sweeps_before_it_is_locked_is_made_again(tmp_path, monkeypatch, moment):
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    swept = []

    def once(path, flags):
        if moment == "made" and not swept:
            swept.append(path)
            os.rmdir(path)
        lock = os.open(path, flags)
        if moment == "opened" and not swept:
            swept.append(path)
            os.rmdir(path)
        return lock

    monkeypatch.setattr(scratch, "os", types.SimpleNamespace(**{**vars(os), "open": once}))
    with scratch.scratch("mobius-ops-build-") as made:
        assert len(swept) == 1 and os.path.isdir(made.path) and made.path not in swept


def test_folders_of_others_and_links_are_not_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mobius-ops-build-link").symlink_to("elsewhere")
    (tmp_path / "mobius-ops-build-file").write_text("x")
    with scratch.scratch("mobius-ops-deps-") as inside:
        assert scratch.sweep() == [] and os.path.isdir(inside.path)
    assert not os.path.exists(inside.path) and len(os.listdir(tmp_path)) == 3


def test_a_folder_in_check_mode_is_not_copied(make, source, monkeypatch):
    monkeypatch.setattr(sources, "fetch", None)
    assert make(source, check_mode=True)["release_id"].startswith("1.0-")
