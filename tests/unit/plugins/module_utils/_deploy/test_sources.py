# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sources of releases: all of one is taken, from the repository that was named, or it is refused before anything is built."""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, IntegrityError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import artifacts, sources
from ansible_collections.mobius.ops.plugins.module_utils._deploy import build as deploy_build

POINTER = "version https://git-lfs.example/spec/v1\noid sha256:4d7a\nsize 12345\n"


def git(*words, folder, **more):
    people = {
        f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "Ada"), ("EMAIL", "ada@mobius.example"))
    }
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", **people, **more}
    done = subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A function that makes a repository with one commit, of a text that its application says."""

    def create(name, text, **files):
        folder = tmp_path / name
        folder.mkdir()
        git("init", "--quiet", "--initial-branch=main", folder=folder)
        commit(folder, text, **files)
        return folder

    return create


def commit(folder, text, **files):
    """Commit another text; its id."""
    for path, content in {"package.json": '{"name": "app"}', "index.js": text, **files}.items():
        (folder / path).write_text(content)
    git("add", ".", folder=folder)
    git("commit", "--quiet", "-m", text, folder=folder)
    return git("rev-parse", "HEAD", folder=folder)


@pytest.fixture
def make(tmp_path):
    def build(source, ref="", command=(), check_mode=False):
        builder = deploy_build.Builder(str(tmp_path / "store"), [], list(command), required=[], made=[])
        return builder.make(str(source), "1", ref, check_mode)

    return build


def text_of(made):
    with tarfile.open(made["path"]) as archive:
        return archive.extractfile("index.js").read().decode()


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_hook_of_another_repository_is_left_alone(repository, make, tmp_path, monkeypatch, check_mode):
    """git calls hooks with the variables of its own repository; without them a clone goes where it should."""
    ours, theirs = repository("ours", "of the release"), repository("theirs", "of the operator")
    (theirs / "index.js").write_text("not committed yet")
    before = git("status", "--porcelain", folder=theirs)
    for name, value in (
        ("GIT_DIR", theirs / ".git"),
        ("GIT_WORK_TREE", theirs),
        ("GIT_INDEX_FILE", theirs / ".git" / "index"),
        ("GIT_PREFIX", "src/"),
        ("GIT_QUARANTINE_PATH", tmp_path),
    ):
        monkeypatch.setenv(name, str(value))
    made = make(f"file://{ours}", command=["sh", "-c", f"env > {tmp_path}/seen"], check_mode=check_mode)
    assert made["source"].endswith("@" + git("rev-parse", "HEAD", folder=ours))
    assert git("status", "--porcelain", folder=theirs) == before and (theirs / "index.js").read_text() == "not committed yet"
    if not check_mode:
        assert text_of(made) == "of the release"
        assert not [
            line
            for line in (tmp_path / "seen").read_text().splitlines()
            if line.startswith("GIT_") and line.split("=")[0] in os.environ and os.environ[line.split("=")[0]].startswith(str(tmp_path))
        ]


def test_settings_of_git_by_environment_are_kept(repository, make, monkeypatch):
    elsewhere = repository("elsewhere", "by its other name")
    for name, value in (("COUNT", "1"), ("KEY_0", f"url.file://{elsewhere}.insteadOf"), ("VALUE_0", "ssh://nowhere.invalid/app")):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    assert text_of(make("ssh://nowhere.invalid/app")) == "by its other name"


def test_a_push_deploys_from_its_bare_repository(repository, tmp_path):
    """A real hook after a real push, of a bare repository whose name tells nothing."""
    work, bare = repository("work", "pushed"), tmp_path / "deploys"
    git("clone", "--quiet", "--bare", str(work), str(bare), folder=tmp_path)
    hook, told = bare / "hooks" / "post-receive", tmp_path / "told"
    code = (
        "import sys; from ansible_collections.mobius.ops.plugins.module_utils._deploy import build; "
        "print(build.Builder(sys.argv[1], [], [], required=[], made=[]).make(sys.argv[2], '1', 'main', False)['source'])"
    )
    hook.write_text(f"#!/bin/sh\n'{os.sys.executable}' -c \"{code}\" '{tmp_path}/store' '{bare}' > '{told}'\n")
    hook.chmod(0o755)
    pushed = commit(work, "second")
    git("push", "--quiet", str(bare), "main", folder=work, PYTHONPATH=os.pathsep.join(filter(None, os.sys.path)))
    assert told.read_text().strip() == f"{bare}@{pushed}"


def test_of_a_checkout_a_ref_is_what_was_committed(repository, make):
    checkout = repository("checkout", "committed")
    git("branch", "release", folder=checkout)
    (checkout / "index.js").write_text("not yet")
    assert text_of(make(checkout)) == "not yet"
    assert text_of(make(checkout, ref="release")) == "committed"


@pytest.mark.parametrize("name", ["folder", "app.tar.gz"])
def test_a_ref_of_what_has_none_is_refused(make, tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"^mobius_release_ref 'v2': expected none, because the release source '.*' is no git repository"):
        make(tmp_path / name, ref="v2")


def test_a_branch_and_a_tag_of_one_name_are_told_apart(repository, make):
    folder = repository("app", "the tag's")
    git("tag", "v2", folder=folder)
    git("checkout", "--quiet", "-b", "v2", folder=folder)
    assert text_of(make(f"file://{folder}", ref="v2")) == "the tag's"  # of one commit
    commit(folder, "the branch's")
    with pytest.raises(InputError, match=r"found a branch and a tag of that name\. Write refs/heads/v2 or refs/tags/v2"):
        make(f"file://{folder}", ref="v2")
    assert text_of(make(f"file://{folder}", ref="refs/heads/v2")) == "the branch's"
    assert text_of(make(f"file://{folder}", ref="refs/tags/v2")) == "the tag's"


def test_submodules_are_fetched_and_missed(repository, make, tmp_path, monkeypatch):
    for name, value in (("COUNT", "1"), ("KEY_0", "protocol.file.allow"), ("VALUE_0", "always")):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    part, whole = repository("part", "of a submodule"), repository("whole", "of the application")
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{part}", "lib/part", folder=whole)
    commit(whole, "with a submodule")
    with tarfile.open(make(f"file://{whole}")["path"]) as archive:
        assert archive.extractfile("lib/part/index.js").read() == b"of a submodule"
        assert not [name for name in archive.getnames() if ".git/" in name]
    git("clone", "--quiet", str(whole), str(tmp_path / "bare"), folder=tmp_path)
    with pytest.raises(InputError, match=r"expected the files of its submodule lib/part, found none\. Fetch them: git submodule update"):
        make(tmp_path / "bare")


@pytest.mark.parametrize("check_mode", [False, True])
def test_pointers_of_git_lfs_are_refused(repository, make, check_mode):
    folder = repository("app", "with pictures", **{"logo.png": POINTER, "notes.txt": "version https://git-lfs is a program"})
    for source in (folder, f"file://{folder}"):
        with pytest.raises(InputError, match=r"found 1 pointers in their place, the first logo\.png\. Install git-lfs on the controller"):
            make(source, check_mode=check_mode)


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "sub/../../outside"])
def test_links_that_leave_are_judged_before_the_build(repository, make, tmp_path, target):
    folder = repository("app", "with a link")
    (folder / "link").symlink_to(target)
    told = rf"^release source '{folder}': expected links within it only, .* found link, a symlink to {target}"
    with pytest.raises(InputError, match=told):
        make(folder, command=["touch", str(tmp_path / "built")])
    assert not (tmp_path / "built").exists()
    (folder / "link").unlink()
    with pytest.raises(InputError, match=r"^build: expected links within it only"):
        make(folder, command=["ln", "-s", target, "made"])
    (folder / "link").symlink_to("index.js")
    assert make(folder)["built"]


def test_an_artifact_of_others_is_judged_on_the_controller(make, tmp_path, tar_gz, seal):
    path = tmp_path / "theirs.tar.gz"
    tar_gz(
        path,
        [
            ("MANIFEST.json", b'{"schema": 1, "version": "1", "digest": "12345678", "source": "x", "files": {}}'),
            ("one", b"11"),
            ("two", ("link", "one")),
        ],
    )
    seal(str(path))
    with pytest.raises(IntegrityError, match="two: neither a file, a folder nor a symlink"):
        make(path)


@pytest.mark.parametrize(
    "line, private",
    [
        ("//packages.example/:_authToken=abc", True),
        ("_auth = abc", True),
        ("//packages.example/:_password=x", True),
        ("//packages.example/:_authToken=${TOKEN}", False),
        ("; _authToken=abc", False),
        ("save-exact=true", False),
    ],
)
def test_a_token_is_for_its_owner_only(repository, make, tmp_path, line, private):
    folder = repository("app", "with a registry of its own", **{".npmrc": f"save-exact=true\n{line}\n"})
    (folder / ".npmrc").chmod(0o600)
    made = make(folder)
    assert stat.S_IMODE(os.stat(made["path"]).st_mode) == (0o600 if private else 0o644)
    (tmp_path / "release").mkdir()
    artifacts.unpack(made["path"], str(tmp_path / "release"))
    artifacts.compare(str(tmp_path / "release"), artifacts.read_manifest(made["path"]))
    assert stat.S_IMODE((tmp_path / "release" / ".npmrc").stat().st_mode) == (0o600 if private else 0o644)


@pytest.mark.parametrize("source", ["org-1234@host:team/app.git", "git@host:app.git", "host:app", "ssh://git@host/app"])
def test_addresses_of_ssh_are_understood(source):
    assert sources.kind_of(source) == "git"


@pytest.mark.parametrize("source", ["/srv/a:b", "./a:b", "nowhere", "host:"])
def test_what_is_no_address_is_none(source):
    with pytest.raises(InputError, match="none of them on the controller"):
        sources.kind_of(source)


def test_a_folder_with_a_colon_is_a_folder(tmp_path, monkeypatch):
    (tmp_path / "a:b").mkdir()
    monkeypatch.chdir(tmp_path)
    assert sources.kind_of("a:b") == "directory"


def test_a_tilde_is_the_users_folder(repository, make, monkeypatch):
    monkeypatch.setenv("HOME", str(repository("app", "at home").parent))
    assert text_of(make("~/app")) == "at home"
