#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check that a host can take a deploy
version_added: 0.1.0
description:
  - Checks what a deploy needs of a host before anything is changed, and tells for each point whether it passed, what
    was found, and what to do when it did not. Source is the runbook's "Prerequisites" and "Final validation".
  - The given O(checks) are not sent; a mistake in their definitions is found now.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.reads_only
  - mobius.ops.checks
options:
  service:
    description: The service whose port must be free or its own.
    type: str
    default: mobius
  port:
    description: The port that the service should have been set up for.
    type: int
  programs:
    description: Programs that must be on the target's PATH, and the argument that makes each print its version.
    type: dict
    default: {node: --version, npm: --version, ffmpeg: -version}
  encoders:
    description: Encoders that ffmpeg must have.
    type: list
    elements: str
    default: [libx264, aac]
  min_free_mb:
    description: Megabytes (10^6 bytes) that must be free on the root's file system.
    type: int
    default: 1000
"""

EXAMPLES = r"""
- name: Can this host take a deploy?
  mobius.ops.preflight:
    root: /opt/mobius
    min_free_mb: 5000
"""

RETURN = r"""
points:
  description: Each point with its C(name), C(passed), what was C(found), and the C(remedy).
  returned: always
  type: list
  elements: dict
"""

import os
import shutil
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils import _arguments, _commands, _files, _health, _service
from ansible_collections.mobius.ops.plugins.module_utils._errors import OpsError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._layout import Layout


def point(name: str, passed: bool, found: str, remedy: str) -> dict[str, t.Any]:
    """One row of the result."""
    return {"name": name, "passed": passed, "found": found, "remedy": "" if passed else remedy}


def program(name: str, argument: str) -> dict[str, t.Any]:
    """Whether a program is there and runs."""
    path = shutil.which(name)
    if not path:
        return point(name, False, f"no program {name} on the PATH", f"install {name} (mobius.ops.setup does)")
    done = _commands.capture([path, argument])
    first = (done.stdout.splitlines() or [""])[0]
    return point(name, done.returncode == 0, first or f"exit status {done.returncode}", f"repair the installation of {name}")


def encoders(wanted: list[str]) -> dict[str, t.Any]:
    """Whether ffmpeg can encode what renders need."""
    done = _commands.capture(["ffmpeg", "-hide_banner", "-encoders"])
    there = {words[1] for words in (line.split() for line in done.stdout.splitlines()) if len(words) > 1}
    missing = [name for name in wanted if name not in there]
    found = "missing: " + ", ".join(missing) if missing else ", ".join(wanted)
    return point("encoders", not missing, found, "install an ffmpeg that has them")


def port(layout: Layout, name: str, wanted: int | None) -> dict[str, t.Any]:
    """Whether the service was set up for the wanted port, and no other program has it."""
    try:
        service = _service.load(layout, name)
        service.require_port()
    except OpsError as error:
        return point("port", False, str(error), error.todo)
    if wanted not in (None, service.port):
        return point("port", False, f"the service was set up for port {service.port}, not {wanted}",
                     "run mobius.ops.setup with the new mobius_port")
    return point("port", True, f"{service.port} is free or the service's own", "")


def disk(layout: Layout, megabytes: int) -> dict[str, t.Any]:
    """Whether enough is free."""
    free = shutil.disk_usage(layout.root).free
    return point("disk", free >= megabytes * 10**6, f"{_files.human_size(free)} free on the file system of {layout.root}",
                 f"free some space: {megabytes} MB are wanted (mobius_min_free_mb)")


def run(params: dict[str, t.Any], _check_mode: bool) -> tuple[bool, dict[str, t.Any], dict[str, t.Any]]:
    """Check every point; fail with the first that did not pass when one did not."""
    layout = Layout(params["root"])
    layout.require()
    _health.normalize_all(params["checks"], params["headers"], params["secret_headers"])
    writable = os.access(layout.state, os.W_OK)
    points = [point("write", writable, f"the user may {'' if writable else 'not '}write to {layout.state}",
                    "run it as the user who ran mobius.ops.setup")]
    points += [program(name, str(argument)) for name, argument in params["programs"].items()]
    if params["encoders"] and shutil.which("ffmpeg"):
        points.append(encoders(params["encoders"]))
    points += [port(layout, params["service"], params["port"]), disk(layout, params["min_free_mb"])]
    bad = [row for row in points if not row["passed"]]
    if bad:
        error = StateError("preflight of this host", "every point to pass",
                           f"{len(bad)} of {len(points)} that do not: " + "; ".join(f"{row['name']} ({row['found']})" for row in bad),
                           "To do: " + "; ".join(row["remedy"] for row in bad))
        error.facts = {"points": points}
        raise error
    return False, {"points": points}, {}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": _arguments.ROOT,
            "service": {"type": "str", "default": "mobius"},
            "port": {"type": "int"},
            "programs": {"type": "dict", "default": {"node": "--version", "npm": "--version", "ffmpeg": "-version"}},
            "encoders": {"type": "list", "elements": "str", "default": ["libx264", "aac"]},
            "min_free_mb": {"type": "int", "default": 1000},
            "checks": _arguments.CHECKS,
            "headers": _arguments.HEADERS,
            "secret_headers": _arguments.SECRET_HEADERS,
        },
        supports_check_mode=True,
    )
    _arguments.execute(module, run)


if __name__ == "__main__":
    main()
