"""A host on which findings are planted, each a real file, process or answer."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import subprocess

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._backup import create
from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import exposure, state, storage
from ansible_collections.mobius.ops.plugins.module_utils._maintenance import run as maintenance_run
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.findings import Context
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.request import Request
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import COMPONENTS

#: A package with a known vulnerability, in a lock file.
PACKAGE = {"name": "app", "version": "1.0.0", "dependencies": {"left-pad": "1.0.0"}}
LOCK = {
    "name": "app",
    "version": "1.0.0",
    "lockfileVersion": 3,
    "requires": True,
    "packages": {
        "": PACKAGE,
        "node_modules/left-pad": {
            "version": "1.0.0",
            "resolved": "http://127.0.0.1/left-pad.tgz",
            "integrity": "sha512-" + "A" * 86 + "==",
        },
    },
}


class Apt:
    """An apt with sources, lists and installed packages of its own, told by APT_CONFIG."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.repository = str(folder), str(folder / "repository")
        for name in ("repository", "lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d", "etc/sources.d"):
            os.makedirs(folder / name)
        settings = {
            "Dir::Etc::sourcelist": "etc/sources.list",
            "Dir::Etc::sourceparts": "etc/sources.d",
            "Dir::Etc::preferencesparts": "etc/preferences.d",
            "Dir::Etc::preferences": "etc/preferences",
            "Dir::State::lists": "lists",
            "Dir::State::status": "status",
            "Dir::Cache": "cache",
            "Dir::State::extended_states": "extended",
        }
        text = "".join(f'{name} "{self.folder}/{path}";\n' for name, path in settings.items())
        fs.write_text(f"{self.folder}/apt.conf", text + 'APT::Architecture "amd64";\nAPT::Sandbox::User "root";\n')
        fs.write_text(f"{self.folder}/etc/sources.list", f"deb [trusted=yes] file:{self.repository} ./\n")
        monkeypatch.setenv("APT_CONFIG", f"{self.folder}/apt.conf")
        self.installed({})

    def installed(self, packages):
        """Packages that are installed, with their versions."""
        self._packages(f"{self.folder}/status", packages, "Status: install ok installed\n")
        fs.write_text(f"{self.repository}/Packages", "")
        self.offer({})

    def offer(self, packages):
        """Packages that the repository of security patches has."""
        self._packages(f"{self.repository}/Packages", packages, "Filename: ./none.deb\nSize: 1\n")
        self._release()

    def _release(self):
        """Publish the list of packages, and fetch it."""
        with open(f"{self.repository}/Packages", "rb") as stream:
            content = stream.read()
        for name in os.listdir(f"{self.folder}/lists"):
            if os.path.isfile(f"{self.folder}/lists/{name}"):
                os.unlink(f"{self.folder}/lists/{name}")
        fs.write_text(
            f"{self.repository}/Release",
            "Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\n"
            f"Date: {datetime.datetime.now(datetime.timezone.utc):%a, %d %b %Y %H:%M:%S} UTC\n"
            f"SHA256:\n {hashlib.sha256(content).hexdigest()} {len(content)} Packages\n",
        )
        subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True)

    def pack(self, name, version):
        """Offer a package that can be installed, on a root of its own."""
        root, tree = f"{self.folder}/root", f"{self.folder}/{name}-{version}"
        for folder in (f"{root}/var/lib/dpkg/info", f"{root}/var/lib/dpkg/updates", f"{root}/var/lib/dpkg/triggers", f"{tree}/DEBIAN"):
            os.makedirs(folder, exist_ok=True)
        fs.write_text(
            f"{tree}/DEBIAN/control",
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: t <t@example.com>\nDescription: d\n",
        )
        path = f"{self.repository}/{name}.deb"
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, path], check=True, capture_output=True)
        if not os.path.lexists(f"{root}/var/lib/dpkg/status"):
            os.rename(f"{self.folder}/status", f"{root}/var/lib/dpkg/status")
            os.symlink(f"{root}/var/lib/dpkg/status", f"{self.folder}/status")
            fs.write_text(f"{root}/var/lib/dpkg/info/{name}.list", "")
            with open(f"{self.folder}/apt.conf", "a", encoding="utf-8") as stream:
                stream.write(f'DPkg::Options {{ "--root={root}"; "--log={self.folder}/dpkg.log"; }};\nDir::Log "{self.folder}";\n')
        with open(path, "rb") as stream:
            content = stream.read()
        self._packages(
            f"{self.repository}/Packages",
            {name: version},
            f"Filename: ./{name}.deb\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n",
        )
        self._release()

    @staticmethod
    def _packages(path, packages, more):
        fs.write_text(
            path,
            "\n".join(
                f"Package: {name}\n{more}Architecture: all\nMaintainer: t <t@example.com>\nVersion: {version}\nDescription: d\n"
                for name, version in packages.items()
            ),
        )


class Patient:
    """A host, what is asked of it, and how to plant findings."""

    def __init__(self, host, web, options):
        self.host, self.layout, self.web = host, host.layout, web
        self.options = {
            "env": "test",
            "service": "mobius",
            "checks": host.raw_checks,
            "step_timeout": 120,
            "drill_start": False,
            "apt_days": 1000,
            "npm_environment": {"npm_config_registry": web.base, "npm_config_fetch_retries": "0"},
            **options,
        }

    def request(self, cadence, **options):
        return Request.read({**self.options, "cadence": cadence, **options})

    def context(self, cadence="weekly", **options):
        return Context(self.layout, self.request(cadence, **options), state.load(self.layout)[0])

    def run(self, cadence, **options):
        """The report, by the names of its steps."""
        report = maintenance_run.run(self.layout, self.request(cadence, **options))
        return report, {step.name: step for step in report.steps}

    def causes(self, cadence, **options):
        """Names of all causes that a run finds."""
        return {cause.name for step in self.run(cadence, **options)[0].steps for cause in step.causes}

    def incidents(self):
        """The records of all incidents."""
        names = sorted(name for name in os.listdir(self.layout.incidents) if name.endswith(".json"))
        return [fs.read_json(os.path.join(self.layout.incidents, name)) for name in names]

    def backup(self):
        return create.create(self.layout, create.Request("test", list(COMPONENTS), self.layout.backups))["archive"]

    def lock_file(self):
        """Let the live release have a package, whose registry has a newer one."""
        release = os.path.realpath(self.layout.current)
        for name, value in (("package.json", PACKAGE), ("package-lock.json", LOCK)):
            fs.write_text(os.path.join(release, name), json.dumps(value))
        versions = {
            version: {"name": "left-pad", "version": version, "dist": {"tarball": f"{self.web.base}/x.tgz", "shasum": "0" * 40}}
            for version in ("1.0.0", "1.3.0")
        }
        self.web.answers["/left-pad"] = (200, json.dumps({"name": "left-pad", "dist-tags": {"latest": "1.3.0"}, "versions": versions}))
        self.advise({})

    def advise(self, advisories):
        """What the registry knows of vulnerabilities. It stands in for npm's, whose mirrors do not serve this."""
        self.web.answers["/-/npm/v1/security/advisories/bulk"] = (200, json.dumps(advisories))

    def samples(self, growth, days=20):
        """Let the disk have grown by so many bytes a day until now."""
        disk = storage.disks(self.context())[0]
        today = datetime.date.today()
        taken = [
            state.Used((today - datetime.timedelta(days=back)).isoformat(), disk.mount, int(disk.used - growth * back), disk.size)
            for back in range(days, 0, -1)
        ]
        state.save(self.layout, state.load(self.layout)[0].with_samples(taken))
        return disk


@pytest.fixture
def apt(tmp_path, monkeypatch):
    if not shutil.which("apt-get"):
        pytest.skip("no apt here")
    return Apt(tmp_path, monkeypatch)


@pytest.fixture
def patient(host, web):
    """A host without findings: its ports are those of the machine."""
    host.live("r1")
    host.service()
    for component in COMPONENTS:
        os.makedirs(host.layout.component(component), exist_ok=True)
    fs.write_text(os.path.join(host.layout.component("logs"), "app.log"), "2026-11-27T08:00:00Z ready\n")
    open_ports = sorted(exposure.exposed())
    return Patient(host, web, {"open_ports": [22, 80, 443, *open_ports]})
