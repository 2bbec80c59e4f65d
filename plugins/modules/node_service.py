#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: node_service
short_description: Run a Node service under systemd, or supervised where there is no systemd
version_added: 0.1.0
description:
  - Defines a Node service that runs from the live release, starts and stops it, and waits until it is ready.
  - Under systemd it writes a hardened unit. Elsewhere a small supervisor restarts the service when it ends.
  - Secrets come from the application's C(.env), by environment only; the definition holds none.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.attributes
  - mobius.ops.checks
options:
  name:
    description: The service's name, and the unit's.
    type: str
    default: mobius
  state:
    description:
      - V(present) only keeps the definition. V(started), V(stopped) and V(restarted) use the one that was kept, and
        keep the given one first when O(port) is given.
      - Another O(proxy_port), O(standby_port) or O(manager), and another O(port) with a proxy, are refused while an instance runs that
        would be lost by that. Under systemd, units that the new definition does not have are removed.
      - V(restarted) behind a proxy loses no request. With O(application_state=shared) the other instance starts, then the proxy switches;
        with V(exclusive) new requests wait in the proxy meanwhile, and changed settings are tried on a copy of the data before.
      - A restart while a deploy or a rollback switches, or of a service that does not run, stops and starts it.
      - Under systemd a service is enabled when it is started, and stays so when it is stopped. Of two instances a reboot starts the one
        that serves.
    type: str
    choices: [present, started, stopped, restarted]
    default: started
  manager:
    description: Who keeps it running; V(auto) is V(systemd) for root where that is the init system, else V(process).
    type: str
    choices: [auto, systemd, process]
    default: auto
  app_path:
    description:
      - The folder in which the application sees its release, whichever that is, so that absolute paths that it stores stay valid.
        C(app) below O(root) by default.
      - Under systemd the release is mounted there for the service alone, without systemd in a mount namespace. Where the kernel allows
        none, the folder gets links to the release; two instances at once (O(application_state=shared)) run in their releases' own
        folders then, and RV(app_path) says V(moving).
    type: path
  command:
    description: The command, run in the folder O(app_path). Its first word is looked up on the PATH of the target.
    type: list
    elements: str
    default: [node, src/api/index.js]
  port:
    description: The TCP port that it listens on (C(PORT) in its environment). Needed to define it.
    type: int
  host:
    description: The address that it binds to (C(HOST) in its environment).
    type: str
    default: 127.0.0.1
  user:
    description: The user that it runs as; the one who runs the module by default.
    type: str
  environment:
    description: Further environment variables, without secrets.
    type: dict
  stop_timeout:
    description: Seconds between SIGTERM and SIGKILL when it is stopped.
    type: int
    default: 10
  restart_delay:
    description: Seconds between its end and its next start.
    type: float
    default: 1
  restart_limit:
    description: Restarts within O(restart_window) after which it is given up as failed.
    type: int
    default: 10
  restart_window:
    description: Seconds over which restarts are counted.
    type: int
    default: 60
  memory_max:
    description: Memory limit of the service and its render work under systemd, such as V(4G).
    type: str
  cpu_quota:
    description: Processor time that the service and its render work may have under systemd, such as V(150%) of one processor.
    type: str
  cpu_weight:
    description: Their share of the processors under systemd when others want them too, 1 to 10000. Others have 100.
    type: str
  io_weight:
    description: Their share of the disks under systemd when others want them too, 1 to 10000. Others have 100.
    type: str
  tasks_max:
    description: How many processes and threads they may have under systemd.
    type: str
  allow_torn_stores:
    description:
      - Whether it is started although a JSON file in which the application keeps its state is no JSON document. MOBIUS begins with nothing
        then, and overwrites it with its next write.
    type: bool
    default: false
  proxy_port:
    description:
      - The port of the proxy (HAProxy) in front of two instances, of which one serves; a switch then loses no request.
      - Without it there is one instance, which is stopped and started.
    type: int
  standby_port:
    description: The port of the second instance, with O(proxy_port).
    type: int
  application_state:
    description:
      - Whether two instances may run at the same time. V(exclusive) is for an application that keeps its state in memory and would
        overwrite the other's work; new requests wait in the proxy then, while one instance ends and the other one starts.
    type: str
    choices: [exclusive, shared]
    default: exclusive
  drain_timeout:
    description:
      - Seconds within which long requests and renders of the old instance must have ended, or nothing is switched. 900 by default.
      - Without O(proxy_port) requests are not seen, and a switch waits for renders only.
      - V(restarted) of a service that was defined before uses what is given here, and the definition's where nothing is.
    type: float
  drain_force:
    description: Whether what has not ended by then is cut; by default it is not. See O(drain_timeout) for V(restarted).
    type: bool
  drain_quiet:
    description:
      - Seconds without long requests and renders after which the old instance counts as at rest. The requests of others go on meanwhile.
      - An application that renders one job after the other does nothing for a moment between two of them.
    type: float
    default: 0
  job_programs:
    description: Names of the programs that the application starts for work that is not to be cut; all that it starts by default.
    type: list
    elements: str
    default: []
  job_id_pattern:
    description:
      - A regular expression that finds the id of a render in the command of a program that works on it, in its group where it has one.
        Messages and records name renders by it; by default C(render-jobs/ID), as MOBIUS names the folder of a render.
    type: str
    version_added: 0.1.0
  busy_check:
    description:
      - A question to the application before an instance is stopped, for jobs that wait in its memory and that no process shows. A check
        as in O(checks), and V(jobs), a JMESPath expression that finds their number or the list of their ids in the JSON answer.
      - An instance that does not answer it counts as busy. It is kept for root only, with O(secret_headers).
    type: dict
    version_added: 0.1.0
  held_routes:
    description:
      - Requests that wait in the proxy while the renders of an instance of exclusive state are worked off, each a method and a path such as
        V(POST /api/render); an asterisk at the end stands for all paths that begin so.
      - One that has waited for O(proxy_timeout) is answered with 503 and C(Retry-After).
    type: list
    elements: str
    default: []
    version_added: 0.1.0
  proxy_host:
    description: The address that the proxy binds to.
    type: str
    default: 127.0.0.1
  proxy_url:
    description: The address under which the checks reach the proxy; such checks are put to a new instance before it serves.
    type: str
  proxy_certificate:
    description: A PEM file on the target with certificate and key, readable for O(user). The proxy speaks HTTPS then.
    type: path
  proxy_check_port:
    description:
      - With O(proxy_certificate), a further port of the proxy, on 127.0.0.1 only, where checks from the host itself ask without TLS.
        The application is told C(X-Forwarded-Proto=https) there too.
    type: int
    default: 5003
  proxy_max_body:
    description: Bytes of the longest request body; longer ones are answered with 413.
    type: int
    default: 2147483648
  proxy_max_connections:
    description: Connections that the proxy takes at a time; more wait.
    type: int
    default: 4000
  proxy_timeout:
    description: Seconds of silence after which the proxy gives a request up.
    type: int
    default: 300
  ready_timeout:
    description: Seconds within which a started service must satisfy O(checks).
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    details: V(present) on a host that was not set up yet says that it would change it, and checks nothing more.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: V(restarted) restarts each time.
seealso:
  - module: mobius.ops.node_service_info
"""

EXAMPLES = r"""
- name: Define the service; it starts with the first release
  mobius.ops.node_service:
    root: /opt/mobius
    port: 5001
    user: mobius
    state: present

- name: Restart it and wait until it is healthy
  mobius.ops.node_service:
    root: /opt/mobius
    state: restarted
    checks:
      - url: http://127.0.0.1:5001/health
"""

RETURN = r"""
status:
  description:
    - V(running), V(restarting) (it ended and is being started again), V(failed) (given up), V(stopped),
      V(killed) (the service and its supervisor are gone, and nobody stopped them), V(unsupervised) (only the
      supervisor is gone).
  returned: success
  type: str
pid:
  description: Its process id while it runs.
  returned: success
  type: int
port:
  description: Its TCP port.
  returned: success
  type: int
uptime:
  description: Seconds since its last start.
  returned: success
  type: float
restarts:
  description: How often it was started again since it was started on purpose.
  returned: success
  type: int
last_exit:
  description: When and how it last ended by itself (C(when), C(how)).
  returned: success
  type: dict
console:
  description: Where what it printed is found, in words.
  returned: success
  type: str
  sample: shared/logs/console.log
release:
  description: The id of the release that its process runs from.
  returned: success
  type: str
slots:
  description: What the two instances do, by port (C(status), C(release), C(serves)).
  returned: with a proxy
  type: dict
restart_needed:
  description:
    - Names of environment variables and settings that changed after its process was started, which does not have them yet. C(unit) is
      something else in the systemd unit.
    - Empty as well where it cannot be known, as of a definition that changed before this version first started the service.
  returned: success
  type: list
  elements: str
restart_message:
  description: RV(restart_needed) in a sentence, with what to do; empty when it is not needed.
  returned: success
  type: str
downtime:
  description: Seconds between the stop of the old process and the readiness of the new one; 0 when no request was lost.
  returned: when a running service was restarted
  type: float
held:
  description: Seconds that new requests waited in the proxy.
  returned: when the service was restarted
  type: float
cut:
  description: Work that was not waited for any longer, C(requests) and the names of C(renders).
  returned: when the service was restarted
  type: dict
cut_text:
  description: The same as a sentence, empty when nothing was cut.
  returned: when the service was restarted
  type: str
ready_after:
  description: Seconds that it took to satisfy O(checks).
  returned: when it was waited for
  type: float
evidence:
  description: The last lines that it printed.
  returned: when it did not become ready
  type: list
  elements: str
log:
  description: Where all that it printed is found, an absolute path or a command.
  returned: when it did not become ready
  type: str
write_attempts:
  description: Where the application tried to write outside its shared folders, as RV(mobius.ops.release#module:write_attempts).
  returned: when it did not become ready
  type: list
  elements: dict
app_path:
  description:
    - How the application gets to O(app_path). V(mounted) by systemd, V(bound) in a mount namespace, V(linked) by links in the folder.
    - With V(moving) it runs in the folder of its release, and absolute paths that it stores break with the next one.
  returned: success
  type: str
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import wording
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import StateError
from ansible_collections.mobius.ops.plugins.module_utils._deploy import restart, ways
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._service import (
    definition,
    draining,
    node_service,
    ongoing_work,
    readiness,
    redefinition,
    unit_file,
)
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._service.draining import Drain
from ansible_collections.mobius.ops.plugins.module_utils._target import json_stores, restore_journal
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.record_types import Check, JobCheck
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore

#: Options of a proxy in front of two instances.
PROXY: arguments.Spec = {
    "proxy_port": {"type": "int"},
    "standby_port": {"type": "int"},
    "proxy_host": {"type": "str", "default": "127.0.0.1"},
    "proxy_url": {"type": "str"},
    "proxy_certificate": {"type": "path"},
    "proxy_check_port": {"type": "int", "default": 5003},
    "proxy_max_body": {"type": "int", "default": 2147483648},
    "proxy_max_connections": {"type": "int", "default": 4000},
    "proxy_timeout": {"type": "int", "default": 300},
}


def asked(params: arguments.Params) -> dict[str, object]:
    """What the call says of work that runs."""
    return {name: params[name] for name in ("drain_timeout", "drain_force") if params[name] is not None}


def service_of(layout: Layout, params: arguments.Params) -> tuple[node_service.Service, bool]:
    """The service that the options define (or the one on disk), and whether its definition on disk differs."""
    if params["port"] is None:
        return service_registry.load(layout, params["name"]), False
    ongoing_work.check_pattern(params["job_id_pattern"] or "")
    rules = {"drain_timeout": 900.0, "drain_force": False, **asked(params)}
    service = service_registry.service_for(layout, definition.build_spec(layout, {**params, **rules}))
    current = getattr(service, "unit_current", lambda: True)() and ongoing_work.check_of(service) == _busy_check(params)
    return service, service.saved() != service.spec or not current


def _busy_check(params: arguments.Params) -> JobCheck | None:
    """The question to the application, in full form."""
    return ongoing_work.normalize(params["busy_check"], params["headers"], params["secret_headers"])


def bring_about(
    service: node_service.Service, old: node_service.Service | None, params: arguments.Params, differs: bool, checks: list[Check]
) -> dict[str, object]:
    """Keep the definition, then start, stop or restart. A running service whose definition changed is restarted."""
    state, store = params["state"], ReleaseStore(service.layout)
    if state in ("started", "restarted"):
        require_startable(service, params)
    if differs:
        redefinition.clear(old, service)
        service.save()
        ongoing_work.save_check(service, _busy_check(params))
    if state == "stopped":
        service.shut_down()
    elif state == "restarted" or (state == "started" and differs):
        facts = restart.restart(ways.of(store, service, checks, params["ready_timeout"], drain_of(service, params)))
        return {**facts, "cut_text": ongoing_work.lost(facts.get("cut"))}
    elif state == "started":
        service.start()
        return {"ready_after": readiness.ready(service, checks, store.live(), params["ready_timeout"])} if checks else {}
    return {}


def require_startable(service: node_service.Service, params: arguments.Params) -> None:
    """:raises StateError: when there is nothing to start, or it must not be started now."""
    service.require_manageable()
    if service.deployed and (service.layout.current != service.spec["working_dir"] or ReleaseStore(service.layout).live() is None):
        raise StateError(f"service {service.name}", "a live release to run", "none", "Deploy one with mobius.ops.deploy")
    service.require_port()
    restore_journal.refuse_interrupted(service.layout)
    if not params["allow_torn_stores"] and (params["state"] == "restarted" or not service.runs()):
        json_stores.require_whole(service.layout)


def drain_of(service: node_service.Service, params: arguments.Params) -> Drain:
    """The rules of the definition for work that runs, but for what this call says."""
    rules, timeout, force = draining.of_definition(service), params["drain_timeout"], params["drain_force"]
    return rules._replace(timeout=rules.timeout if timeout is None else timeout, force=rules.force if force is None else force)


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Bring about the state."""
    layout = Layout(params["root"])
    if check_mode and params["state"] == "present" and not os.path.isdir(layout.state):
        return arguments.Answer(True, {}, {"before": {"definition": None}, "after": {"definition": "made when the host is set up"}})
    layout.require()
    checks = health.normalize_all(params["checks"], params["headers"], params["secret_headers"])
    service, differs = service_of(layout, params)
    old = redefinition.saved(layout, service.name)
    redefinition.refuse_loss(old, service)
    if params["port"] is not None:
        service.require_definable()
    if params["state"] != "stopped":
        service.require_environment()
    before, state = service.status(), params["state"]
    wrong = {
        "present": False,
        "started": before["status"] != "running",
        "restarted": True,
        "stopped": any(part.status()["status"] != "stopped" for part in service.parts()),
    }[state]  # a proxy may run alone
    diff = {
        "before": {"definition": service.saved(), "status": before["status"]},
        "after": {
            "definition": service.spec,
            "status": "stopped" if state == "stopped" else before["status"] if state == "present" else "running",
        },
    }
    result: dict[str, object] = {}
    if (wrong or differs) and not check_mode:
        result = {name: value for name, value in bring_about(service, old, params, differs, checks).items() if value is not None}
    lacking = service.restart_needed(changes=differs and check_mode)
    result.update(restart_needed=lacking, restart_message=wording.restart_needed(lacking))
    return arguments.Answer(wrong or differs, {**service.status(), **result, "app_path": service.way()}, diff)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "name": {"type": "str", "default": "mobius"},
            "state": {"type": "str", "choices": ["present", "started", "stopped", "restarted"], "default": "started"},
            "manager": {"type": "str", "choices": list(definition.MANAGERS), "default": "auto"},
            "app_path": {"type": "path"},
            "command": {"type": "list", "elements": "str", "default": ["node", "src/api/index.js"]},
            "port": {"type": "int"},
            "host": {"type": "str", "default": "127.0.0.1"},
            "user": {"type": "str"},
            "environment": {"type": "dict"},
            "stop_timeout": {"type": "int", "default": 10},
            "restart_delay": {"type": "float", "default": 1},
            "restart_limit": {"type": "int", "default": 10},
            "restart_window": {"type": "int", "default": 60},
            **{name: {"type": "str"} for name in unit_file.LIMITS},
            "allow_torn_stores": {"type": "bool", "default": False},
            **PROXY,
            "application_state": {"type": "str", "choices": ["exclusive", "shared"], "default": "exclusive"},
            "drain_timeout": {"type": "float"},
            "drain_force": {"type": "bool"},
            "drain_quiet": {"type": "float", "default": 0},
            "job_programs": {"type": "list", "elements": "str", "default": []},
            "job_id_pattern": {"type": "str"},
            "busy_check": {"type": "dict"},
            "held_routes": {"type": "list", "elements": "str", "default": []},
            "checks": arguments.CHECKS,
            "headers": arguments.HEADERS,
            "secret_headers": arguments.SECRET_HEADERS,
            "ready_timeout": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
