"""Three hosts on this machine in one inventory, whose connections can be cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t
from pathlib import Path

import yaml

from support.playbooks import ROOT, Operator, Result

NAMES = ("first", "second", "third")
#: Steps of a deploy that are turned off here, because tests with one host cover them and they cost processor time on each host.
PLAIN = {
    "mobius_encoders": [],
    "mobius_decoders": [],
    "mobius_filters": [],
    "mobius_watch_latency_pct": 0,
    "mobius_canary_leave": [],
    "mobius_canary_look": [],
    "mobius_report": False,
}


class Fleet:
    """An operator with three hosts.

    :param new_site: makes the site of a host below a folder.
    """

    def __init__(self, folder: Path, new_site: t.Callable[[Path], t.Any]) -> None:
        self.folder, self.sites = folder, {name: new_site(folder / name) for name in NAMES}
        settings = yaml.safe_load((ROOT / "inventories" / "local" / "group_vars" / "mobius.yml").read_text())
        settings["secret_file"] = str(ROOT / ".build" / "secrets" / "local")
        hosts = {}
        for name, site in self.sites.items():
            hosts[name] = {
                **site.operator.settings,
                **PLAIN,
                "mobius_keep_releases": 20,
                "ansible_connection": "cuttable",
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            }
        (folder / "hosts.yml").write_text(yaml.safe_dump({"mobius": {"hosts": hosts, "vars": settings}}))
        (folder / "cut").mkdir()
        self.operator = Operator("local")
        self.operator.inventory = folder / "hosts.yml"
        self.base = ""

    def play(self, playbook: str, *options: str, **extra: t.Any) -> Result:
        """Run a playbook on all of them."""
        return self.operator.run(playbook, *options, **extra)

    def deploy(self, version: str, **extra: t.Any) -> Result:
        """Deploy a version to all of them."""
        return self.play("deploy", mobius_release_source=str(self.sites["first"].source(version)), mobius_version=version, **extra)

    def begin(self) -> None:
        """Set them up, and deploy the release with which every test begins."""
        assert self.play("setup").outcome == "set_up"
        result = self.deploy("v1")
        assert (result.status, result.outcome) == (0, "deployed"), result.output
        (self.base,) = self.live()

    def reset(self) -> str:
        """Bring all of them to that release, whatever a test has left; its id."""
        self.mend()
        for site in self.sites.values():
            self.restore_data(site)
            for path in [*(site.root / "incidents").glob("*.json"), *(site.root / "releases").glob("*/fault.json")]:
                path.unlink()
        if any(self.locks()):
            self.play("force_unlock", mobius_why="a test that failed")
        if self.live() != {self.base}:
            self.play("rollback", mobius_release_id=self.base)
        if self.live() != {self.base} or not all(self.well(site) for site in self.sites.values()):
            self.play("restart")
        assert self.live() == {self.base} and all(self.well(site) for site in self.sites.values())
        for site in self.sites.values():
            for path in (site.root / "incidents").glob("*.json"):
                path.unlink()
            for path in (site.root / "releases").iterdir():  # else a rollback would go to one of them
                if path.name != self.base:
                    shutil.rmtree(path)
        return self.base

    @staticmethod
    def well(site: t.Any) -> bool:
        """Whether a host answers that it is well."""
        with contextlib.suppress(OSError, ValueError):
            return site.client().health()["status"] == "ok"
        return False

    @staticmethod
    def take_data(site: t.Any) -> None:
        """Put a file where a host's data folder was: no release can start there."""
        data = site.root / "shared" / "data"
        os.rename(data, site.root / "shared" / "gone")
        data.write_text("no folder")

    @staticmethod
    def restore_data(site: t.Any) -> None:
        """Put the data folder back, where it was taken."""
        gone = site.root / "shared" / "gone"
        if gone.exists():
            (site.root / "shared" / "data").unlink(missing_ok=True)
            os.rename(gone, site.root / "shared" / "data")

    def versions(self) -> list[str]:
        """What each host serves."""
        return [site.client().health()["version"] for site in self.sites.values()]

    def live(self) -> set[str]:
        """The live releases; one, when all of them are on the same."""
        return {site.live() for site in self.sites.values()}

    def incidents(self) -> list[dict[str, t.Any]]:
        """The incidents of all of them."""
        return [incident for site in self.sites.values() for incident in site.incidents()]

    def locks(self) -> list[bool]:
        """Whether somebody holds the deploy lock of each host."""
        return [self.locked(name) for name in NAMES]

    def locked(self, name: str) -> bool:
        """Whether somebody holds the deploy lock of a host."""
        return (self.sites[name].root / "state" / "lock" / "deploy.json").exists()

    def switched_to(self, name: str, version: str) -> int:
        """How often a host was switched to a version."""
        return len([event for event in self.sites[name].history() if event["what"] == "active" and event["release"].startswith(version)])

    def back(self, version: str = "v1") -> bool:
        """Whether all serve the release with which a test begins, and records say so."""
        assert self.live() == {self.base} and self.versions() == [version] * 3
        assert [site.record(self.base)["status"] for site in self.sites.values()] == ["verified"] * 3
        return True

    def cut(self, name: str) -> None:
        """Cut the connection to a host."""
        (self.folder / "cut" / name).touch()

    def mend(self) -> None:
        """Mend all connections."""
        for mark in (self.folder / "cut").iterdir():
            mark.unlink()
