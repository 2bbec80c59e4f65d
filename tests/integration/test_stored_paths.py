"""What users have stored stays listed and served, whichever release runs, behind a proxy too: projects, images, a PDF and a clip."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from support import templates
from support.application import PDF, png
from support.namespaces import without
from support.playbooks import ROOT
from support.waiting import HANG, wait_until

FIRST, SECOND, THIRD = (png(grey=grey) for grey in (11, 99, 180))


class Belongings:
    """What a user has stored: projects, an upload, a PDF and a finished render."""

    def __init__(self, client):
        self.client = client
        self.projects = {client.save(name): name for name in ("chess", "go", "Mensch ärgere dich nicht")}
        upload = client.upload("board.png", FIRST)
        self.files = {upload["path"]: FIRST, client.upload_pdf("rules.pdf", PDF): PDF}
        clip = client.render(upload["path"], seconds=1)
        self.files[clip] = client.file(clip)
        assert b"ftyp" in self.files[clip][:16], "an MP4"

    def require(self):
        """All of it is served, byte for byte."""
        assert {number: self.client.project(number)["name"] for number in self.projects} == self.projects
        assert {path: self.client.file(path) == content for path, content in self.files.items()} == dict.fromkeys(self.files, True)


def changes(site, says):
    """Deploy v2 and go back, with an image of each moment; nothing that users have seen disappears.

    A render that v2 still works on is cut, as was asked for.

    :returns: what is there besides images.
    """
    client = site.client()
    stored = Belongings(client)
    client.add_image("chess", "first.png", FIRST)
    assert client.images("chess") == {"first.png": (FIRST, FIRST)}
    before = site.live()
    assert site.deploy("v2").outcome == "deployed", site.outputs[-1]
    stored.require()
    assert client.images("chess") == {"first.png": (FIRST, FIRST)}
    client.add_image("chess", "second.png", SECOND)
    job = client.begin_render(seconds=600, realtime=True)
    wait_until(lambda: client.job(job)["status"] == "running")
    done = site.play("rollback", mobius_drain_timeout=1, mobius_drain_force=True)
    assert done.outcome == "rolled_back", done.output
    announced = (
        f"works on 0 requests and 1 renders ({job}). They are waited for up to 1 s (mobius_drain_timeout), then cut (mobius_drain_force)."
    )
    assert says(done, announced), done.output
    assert done.stats["mobius_cut_renders"] == [job]
    assert f"1 renders ({job}). Ask for the renders again." in done.stats["mobius_message"]
    assert "data untouched" not in done.stats["mobius_message"]
    stored.require()
    assert site.live() == before and client.images("chess") == {"first.png": (FIRST, FIRST), "second.png": (SECOND, SECOND)}
    return stored


def test_what_users_have_stored_survives_a_deploy_a_rollback_and_a_restore(served, says):
    stored = changes(served, says)
    client = served.client()
    thumbnail = served.root / "shared" / "uploads" / ".root" / client.upload("board.png", FIRST)["preview"].removeprefix("/uploads/")
    assert thumbnail.read_bytes() == FIRST
    backup = served.play("backup").stats["mobius_backup"]
    client.add_image("chess", "third.png", THIRD)
    late = client.save("late")
    (served.root / "shared" / "uploads").rename(served.root / "lost")
    (served.root / "shared" / "uploads").mkdir()
    assert served.play("restore", mobius_backup=backup, mobius_components="database,uploads").outcome == "restored", served.outputs[-1]
    stored.require()
    assert client.get(f"/load-project/{late}").status_code == 404, "it is not in the backup"
    assert client.images("chess") == {"first.png": (FIRST, FIRST), "second.png": (SECOND, SECOND)}
    assert thumbnail.read_bytes() == FIRST and client.upload("after.png", SECOND)
    client.add_image("go", "first.png", FIRST)
    stored = json.loads((served.root / "shared" / "data" / "images.json").read_text())
    assert {image["fileKey"].split("/data/")[0] for images in stored["imagesByProject"].values() for image in images} == {
        str(served.root / "app")
    }


def test_what_users_have_stored_survives_behind_a_proxy(proxied, says):
    assert proxied.play("setup").outcome == "set_up", proxied.outputs[-1]
    changes(proxied, says)


def as_of_before(site):
    """Make a site what an earlier version has left: no folder that stays, relative links, stored paths below a release."""
    release = site.root / "releases" / site.live()
    templates.stop(site.folder)
    images = site.root / "shared" / "data" / "images.json"
    images.write_text(images.read_text().replace(str(site.root / "app"), str(release)))
    for link in [path for path in [*release.iterdir(), *(release / "src" / "api").iterdir()] if path.is_symlink()]:
        target = os.path.relpath(os.readlink(link), link.parent)
        link.unlink()
        if link.name not in ("uploads", "output", "saved-matches") or link.parent.name == "api":
            link.symlink_to(target)
    spec = site.root / "state" / "service" / "mobius" / "spec.json"
    spec.write_text(json.dumps({name: value for name, value in json.loads(spec.read_text()).items() if name != "app"}))
    (site.root / "app").rmdir()
    (site.root / "state" / "shared.json").unlink()


def test_a_host_of_before_gets_its_images_back_with_the_next_deploy(served, says):
    client, first = served.client(), served.live()
    client.add_image("chess", "first.png", FIRST)
    as_of_before(served)
    (served.source("v2") / "data").mkdir()
    (served.source("v2") / "data" / "games.json").write_text("[]")
    done = served.deploy("v2")
    assert done.outcome == "deployed", done.output
    assert says(
        done,
        "WARNING: 1 files of the source are in folders that all releases share, so the application will not see them: data/games.json.",
    ), done.output
    assert client.images("chess") == {"first.png": (FIRST, FIRST)}
    # with it that of the canary
    assert [event["stores"] for event in served.history() if event["what"] == "paths_corrected"] == [{"images.json": 2}]
    assert served.play("rollback").outcome == "rolled_back", served.outputs[-1]
    assert served.live() == first and client.images("chess") == {"first.png": (FIRST, FIRST)}


@pytest.mark.parametrize("state", ["shared", "exclusive"])
def test_setup_warns_where_stored_paths_will_break(bare, says, free_port, state):
    """That is where the kernel allows no mount namespace and two instances run at once, so that no folder can stand for both releases."""
    settings = {"mobius_state": state, "mobius_proxy_port": free_port(), "mobius_standby_port": free_port()}
    command, environment = bare.operator.command("setup", **settings), bare.operator.environment()
    told = subprocess.run(
        without(*command), cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=5 * HANG
    ).stdout
    warning = "WARNING: the application runs in the folder of its release, which changes with each deploy"
    remedy = "Let systemd run the service (mobius_service_manager), set mobius_state to exclusive, or run the playbook as root."
    assert [sentence in " ".join(told.split()) for sentence in (warning, remedy)] == [state == "shared"] * 2, told
    assert "failed=0" in told, told
    done = bare.play("setup", **settings)
    assert done.outcome == "set_up" and not says(done, warning), done.output


def test_an_archive_from_before_a_shared_folder_gets_it(bare):
    """An archive of a host of before has no folder for thumbnails; the application finds one after the restore of it."""
    folder = bare.root / "shared" / "uploads" / ".root"
    assert (folder / "thumbnails").is_dir()
    (folder / "thumbnails").rmdir()
    folder.rmdir()
    backup = bare.play("backup").stats["mobius_backup"]
    assert bare.play("restore", mobius_backup=backup, mobius_components="uploads").outcome == "restored", bare.outputs[-1]
    assert (folder / "thumbnails").is_dir() and (folder / "thumbnails").owner() == (bare.root / "shared" / "uploads").owner()
