# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a drill is asked to do, and the choices that follow: which archive, which release, which checks."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from ..._backup import catalog as backup_catalog
from ..._backup import purposes as backup_purposes
from ..._backup import signature
from ..._core import addresses, processes
from ..._core.errors import InputError, StateError
from ..._service import registry as service_registry
from ..._service.scratch import app as scratch_app
from ..._target.layout import COMPONENTS, Layout
from ..._target.record_types import Check, ServiceSpec
from ..._target.releases import ReleaseStore


@dataclasses.dataclass
class Request:
    """What to drill, and how."""

    env: str
    dest: str
    scratch: str
    archive: str | None = None
    allow_env: str | None = None
    policy: signature.Policy | None = None
    #: Name of the live service, whose definition the instance follows; none to leave the application out.
    service: str | None = None
    port: int = 0
    environment: t.Mapping[str, object] = dataclasses.field(default_factory=dict)
    #: Full checks; an address that begins with *base_url* stands for the instance's.
    checks: list[Check] = dataclasses.field(default_factory=list)
    base_url: str = ""
    ready_timeout: float = 60.0
    timeout: float = 14400.0


def choose(layout: Layout, request: Request) -> str:
    """The archive to drill, by itself the newest one of all components, safety backups left out.

    :raises StateError: when there is none.
    """
    if request.archive:
        return request.archive
    archives, past = backup_catalog.find(request.dest, request.env, layout), backup_purposes.Past(layout)
    found = next(backup_catalog.telling_of(archives, COMPONENTS, past), None) or next(backup_catalog.telling_of(archives, past=past), None)
    if not found:
        raise StateError(
            f"backup folder {request.dest}",
            f"an archive of env {request.env}",
            "only safety backups of restores" if archives else "none",
            "Make one: mobius.ops.backup" + (", or name one by its path" if archives else ""),
        )
    return found.archive


def redirect(checks: list[Check], base_url: str, live: ServiceSpec, port: int) -> list[Check]:
    """The checks as the instance on *port* gets them. A header that is the live service's own address follows, too, but for
    ``Origin``: the instance has the live service's settings, and with them the origins that it allows.

    :param live: the definition of the live service.
    :raises InputError: when a check would ask somebody else: then it would say nothing about the restored data.
    """
    mine = addresses.url(scratch_app.LOOPBACK, port)
    own = [addresses.url(host, live["port"]) for host in (live["host"], scratch_app.LOOPBACK, "localhost")]
    old = ([base_url.rstrip("/")] if base_url else []) + own
    found: list[Check] = []
    for check in checks:
        url = check["url"].replace("{port}", str(port))
        prefix = next((prefix for prefix in old if url == prefix or url.startswith((prefix + "/", prefix + "?"))), None)
        url = mine + url[len(prefix) :] if prefix else url
        if not url.startswith(tuple(mine + mark for mark in "/?#")) and url != mine:
            raise InputError(
                f"check {check['name']}",
                "a url that begins with base_url or has the port {port} on 127.0.0.1",
                check["url"],
                "Correct mobius_drill_checks: the drill asks its own instance only",
            )
        headers = {
            key: mine if value in own and key.lower() != "origin" else value.replace("{port}", str(port))
            for key, value in check["headers"].items()
        }
        found.append({**check, "url": url, "headers": headers, "redirects": 0, "proxy": ""})  # either would ask somebody else
    return found


def pick_release(store: ReleaseStore, wanted: str | None) -> tuple[str | None, str]:
    """The release to start, and what is to say about that: the one that the archive names, else the live one."""
    with contextlib.suppress(InputError, TypeError):  # the manifest may say anything
        if wanted and store.get(wanted):
            return wanted, ""
    live = store.live()
    told = f"release {wanted}, which the archive names, is not on this host any more" if wanted else "the archive names no release"
    return live, f"{told}: the live one was started, {live}" if live else told


def require(layout: Layout, request: Request) -> None:
    """:raises OpsError: when the drill could not even begin as it was asked for: that says nothing about an archive."""
    layout.require()
    if not os.path.isdir(request.scratch):
        raise InputError(f"scratch folder {request.scratch}", "a folder", "none", "Create it, or correct mobius_drill_scratch")
    for name in ("timeout", "ready_timeout"):
        if getattr(request, name) <= 0:
            raise InputError(name, "more than 0 seconds", f"{getattr(request, name):g}", "Correct it")
    if request.service:
        spec = service_registry.load_deployed(layout, request.service).spec
        redirect(request.checks, request.base_url, spec, request.port or 1)
        strangers = processes.listeners(request.port) if request.port else []
        if strangers:
            raise StateError(
                f"port {request.port}", "nobody to listen", f"process {strangers[0]}", "Give another mobius_drill_port, or leave it out"
            )
