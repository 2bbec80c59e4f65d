# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Application roots with the real sample application behind the real proxy, without Ansible around them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

from ansible_collections.mobius.ops.plugins.module_utils._core import fs
from ansible_collections.mobius.ops.plugins.module_utils._deploy import activation, dependencies, prepare, ways
from ansible_collections.mobius.ops.plugins.module_utils._deploy.switch import Running
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import definition, draining, ongoing_work
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._target import shared_folders
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore
from support.application import APP, Client
from support.ports import free_ports
from support.traffic import Traffic
from support.waiting import HANG

KEY = "key-of-the-traffic-tests"


def install_modules(folder: str) -> str:
    """The dependencies of the sample application, installed once below a folder."""
    found, _new = dependencies.install(str(APP), folder, ["--omit=dev", "--ignore-scripts"])
    assert found
    return found


class ProxiedRoot:
    """One application root with a service of two instances; of one and no proxy when the state is ``restart``."""

    def __init__(self, root: Path, state: str, modules: str) -> None:
        self.layout, self.modules = Layout(str(root)), modules
        for folder in self.layout.folders():
            os.makedirs(folder, exist_ok=True)
        shared_folders.complete(self.layout.component("uploads"), shared_folders.load(self.layout), "uploads")
        self.port, standby, self.public = free_ports(3)
        if state == "restart":
            self.public = self.port
        fs.write_text(self.layout.env_file, f"MOBIUS_API_KEYS={KEY}\nMOBIUS_CORS_ORIGINS=*\n", 0o600)
        self.store = ReleaseStore(self.layout)
        self.params: dict[str, t.Any] = {
            "name": "mobius",
            "manager": "process",
            "command": ["node", "src/api/index.js"],
            "port": self.port,
            "host": "127.0.0.1",
            "user": None,
            "environment": {"MOBIUS_STORE": "sqlite" if state == "shared" else "json"},
            "stop_timeout": 2,
            "restart_delay": 0.2,
            "restart_limit": 5,
            "restart_window": 10 * HANG,
            "memory_max": None,
            "proxy_port": None if state == "restart" else self.public,
            "standby_port": standby,
            "application_state": "shared" if state == "shared" else "exclusive",
            "drain_timeout": 2 * HANG,
            "drain_force": False,
            "job_programs": [],
            "held_routes": [],
            "proxy_host": "127.0.0.1",
            "proxy_url": None,
            "proxy_certificate": None,
            "proxy_max_body": 2**31,
            "proxy_max_connections": 2000,
            "proxy_timeout": int(3 * HANG),
        }
        self.checks = health.normalize_all(
            [{"url": f"http://127.0.0.1:{self.public}/health", "json": ["status == 'ok'", "release == '{release}'"], "timeout": HANG}]
        )

    def define(self, **params: t.Any) -> t.Any:
        """The service, its definition on disk and its proxy running."""
        self.params.update(params)
        service = service_registry.service_for(self.layout, definition.build_spec(self.layout, self.params))
        service.save()
        return service

    def service(self) -> t.Any:
        """The service as a later run finds it."""
        return service_registry.load(self.layout, "mobius")

    def turn_bad(self, release_id: str, kind: str, **options: t.Any) -> None:
        """Give a release a fault of the sample application, also while it runs."""
        fs.write_text(os.path.join(self.layout.release(release_id), "fault.json"), json.dumps({"kind": kind, **options}))

    def application_log(self) -> str:
        """What the application has logged, of all releases."""
        with open(os.path.join(self.layout.component("logs"), "app.log"), encoding="utf-8") as stream:
            return stream.read()

    def release(self, release_id: str, fault: str = "", **facts: t.Any) -> str:
        """A prepared release."""
        folder = Path(self.layout.release(release_id))
        subprocess.run(
            [sys.executable, APP / "make_version.py", folder, "--version", release_id, *(["--fault", fault] if fault else [])],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        prepare.link_shared(self.layout, str(folder))
        (folder / "node_modules").symlink_to(self.modules)
        self.store.save(self.store.new_record(id=release_id, version=release_id, source="test", sha256="0" * 64, **facts))
        return release_id

    def way(self, timeout: float = HANG) -> Running:
        """How it is switched."""
        return ways.of(self.store, self.service(), self.checks, timeout)

    def activate(self, release_id: str, timeout: float = HANG) -> dict[str, t.Any]:
        """Put a release into service."""
        return activation.activate(self.way(timeout), release_id)

    def roll_back(self, release_id: str | None = None) -> dict[str, t.Any]:
        """Go back."""
        return activation.roll_back(self.way(), "a test", release_id)

    def verified(self, release_id: str) -> str:
        """A release that serves, and that a rollback may go to."""
        self.release(release_id)
        self.activate(release_id)
        self.store.mark(release_id, "verified")
        return release_id

    def long_work(self) -> int:
        """How many long requests the instance that serves works on."""
        service = self.service()
        return ongoing_work.of(service, service.serving(), draining.LONG).requests

    def serves(self) -> bool:
        """Whether a request to r1 goes through; one that is held fails when it has waited for as long as a hang."""
        assert not self.service().proxy.holds()
        return self.client().health()["release"] == "r1"

    def client(self) -> Client:
        """A user of the application."""
        return Client(self.public, KEY)

    def traffic(self, **options: t.Any) -> Traffic:
        """Requests to the proxy."""
        return Traffic(self.public, KEY, **options)
