# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The definition of a service (``spec``), from the options of ``node_service``."""

from __future__ import annotations

import os
import shutil
import typing as t

from .._core import dotenv, systemd
from .._core.errors import InputError
from .._target import app_path, restore_journal
from .._target.layout import Layout, check_name
from .._target.record_types import ServiceSpec, TwoInstances, WorkRules
from . import unit_file
from .proxy import config as proxy_config

MANAGERS = ("auto", "systemd", "process")


def default_manager() -> str:
    """``systemd`` where it is the init system and this is root, who may write its units, else ``process``."""
    return "systemd" if systemd.is_init() and os.getuid() == 0 else "process"


def build_spec(layout: Layout, params: t.Mapping[str, t.Any]) -> ServiceSpec:
    """A service definition from the options of ``node_service``.

    :raises InputError: when the command cannot be found on the target, or a limit is none.
    """
    name = check_name(params["name"], "service name")
    command = list(params["command"])
    program = shutil.which(command[0])
    if not program:
        raise InputError(
            f"service {name}",
            f"the program '{command[0]}' on the target",
            "none on its PATH",
            "Install it (mobius.ops.setup does) or correct mobius_command",
        )
    manager = params["manager"] if params["manager"] != "auto" else default_manager()
    limits = unit_file.limits(params)
    environment = {"NODE_ENV": "production", "HOST": params["host"], "PORT": str(params["port"])}
    environment.update(dotenv.variables(params["environment"] or {}))
    front: TwoInstances = _two_instances(params) if params["proxy_port"] else {"slots": None}
    return {
        "name": name,
        "manager": manager,
        "command": [program, *command[1:]],
        "working_dir": layout.current,
        "app": app_path.checked(layout, params.get("app_path")),
        "environment": environment,
        "env_file": layout.env_file,
        "port": params["port"],
        "host": params["host"],
        "user": params["user"],
        "console_log": os.path.join(layout.component("logs"), "console.log"),
        "stop_timeout": params["stop_timeout"],
        "restart_delay": params["restart_delay"],
        "restart_limit": params["restart_limit"],
        "restart_window": params["restart_window"],
        "writable": [layout.component(part) for part in ("uploads", "database", "generated", "logs")],
        "memory_max": None,
        **limits,
        "not_while": restore_journal.journal_path(layout, "swapping"),
        **_work(params),
        **front,
    }


def _work(params: t.Mapping[str, t.Any]) -> WorkRules:
    """What a definition says of the service's work: how it is known, and how long it is waited for."""
    return {
        "drain_timeout": params["drain_timeout"],
        "drain_force": params["drain_force"],
        "drain_quiet": params.get("drain_quiet") or 0.0,
        "job_programs": params["job_programs"],
        "job_id_pattern": params.get("job_id_pattern") or "",
    }


def _two_instances(params: t.Mapping[str, t.Any]) -> TwoInstances:
    """What a definition says more when a proxy stands in front of two instances."""
    ports = [params["port"], params["standby_port"], params["proxy_port"]]
    if None in ports or len(set(ports)) < 3:
        raise InputError(
            f"service {params['name']}",
            "three different ports: of the two instances and of the proxy",
            ", ".join(map(str, ports)),
            "Correct mobius_port, mobius_standby_port or mobius_proxy_port",
        )
    check_port = _check_port(params, ports) if params["proxy_certificate"] else 0
    return {
        "slots": ports[:2],
        "state": params["application_state"],
        "proxy": {
            "host": params["proxy_host"],
            "port": params["proxy_port"],
            "certificate": params["proxy_certificate"] or "",
            "check_port": check_port,
            "held_routes": proxy_config.require_routes(params.get("held_routes") or []),
            "max_body": params["proxy_max_body"],
            "max_connections": params["proxy_max_connections"],
            "timeout": params["proxy_timeout"],
            "url": (params["proxy_url"] or "").rstrip("/"),
        },
    }


def _check_port(params: t.Mapping[str, t.Any], others: list[int]) -> int:
    """Where checks ask a proxy that speaks TLS. :raises InputError: when it is none, or somebody else's."""
    port = params["proxy_check_port"]
    if port in others or port not in range(1, 65536):
        raise InputError(
            f"service {params['name']}",
            "a port for checks without TLS, other than " + ", ".join(map(str, others)),
            str(port),
            "Correct mobius_proxy_check_port",
        )
    return port
