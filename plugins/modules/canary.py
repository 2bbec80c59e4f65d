#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: canary
short_description: Store data once, and check after every switch that users still see it
version_added: 0.1.0
description:
  - A release can pass every check and still hide what users stored earlier. The steps of O(leave) store data once through the public API.
    The steps of O(look) check that it is still there, now and after every later switch.
  - The values that O(leave) captures, and the checksums of its uploads, are kept in C(state/canary.json), readable by root only.
  - A restore of data from before the canary removes that record. The next run stores new data.
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.attributes
options:
  state:
    description:
      - V(left), for use before a switch, stores the data if it is missing. RV(lost) says why earlier data was not found.
      - V(found), for use after a switch, fails when the data is missing. If nothing was stored yet, it stores the data.
    type: str
    choices: [left, found]
    default: found
  leave:
    description:
      - Steps that store something, as in O(mobius.ops.smoke_test#module:suite). When one is skipped or fails, nothing is left.
      - Headers that are secrets belong into O(secret_headers); a step with such of its own is refused.
    type: list
    elements: dict
    required: true
  look:
    description: Steps that look for it. C({name}) and C(same_as) know what O(leave) has captured and uploaded.
    type: list
    elements: dict
    required: true
  base_url:
    description: The beginning of all addresses without a scheme.
    type: str
    default: ""
  timeout:
    description: Seconds within which an answer must be there.
    type: float
    default: 5
  attempts:
    description: How often a step that changes nothing is tried.
    type: int
    default: 1
  headers:
    description: Headers of all requests.
    type: dict
    default: {}
  secret_headers:
    description: Headers of the requests below O(base_url) that are secrets.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    details: It checks the stored data, and stores nothing.
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: mobius.ops.smoke_test
"""

EXAMPLES = r"""
- name: Check that earlier images are still there
  mobius.ops.canary:
    root: /opt/mobius
    base_url: http://127.0.0.1:5001
    secret_headers: {X-Mobius-API-Key: "{{ key }}"}
    leave:
      - name: canary picture
        url: /api/projects/mobius-canary/images/manual
        upload: {field: file, filename: mobius-canary.png}
        capture: {image: "images[-1].id"}
    look:
      - name: canary listed
        url: /api/projects/mobius-canary/images
        json: ["images[?id == '{image}']"]
      - name: canary served
        url: /api/projects/mobius-canary/images/{image}/file
        same_as: canary picture
"""

RETURN = r"""
canary:
  description: V(found), V(left) (stored now), or V(none) when the data could not be stored or checked.
  returned: success
  type: str
reason:
  description: Why the data could not be stored or checked; empty otherwise.
  returned: success
  type: str
lost:
  description: Why earlier data was not found; empty otherwise.
  returned: success
  type: str
created:
  description: When the data was stored, ISO 8601 UTC.
  returned: when there is one
  type: str
tests:
  description: The last steps that ran, as of M(mobius.ops.smoke_test).
  returned: always
  type: list
  elements: dict
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, ServiceError
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import canaries, smoke_types
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import suite as smoke_suite
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.module_utils._target.releases import ReleaseStore


class Canary:
    """One call of the module."""

    def __init__(self, params: arguments.Params, check_mode: bool) -> None:
        self.layout = Layout(params["root"])
        self.layout.require()
        for step in [*params["leave"], *params["look"]]:
            if step.get("secret_headers"):
                raise InputError(f"step {step.get('name')}", "no secret_headers of its own", "some", "Give them as secret_headers of all")
        self.hidden = smoke_suite.redactor(self.layout.env_file, [params["secret_headers"]], [])
        given = {name: params[name] for name in ("base_url", "headers", "secret_headers", "timeout", "attempts")}
        self.settings = smoke_suite.Settings(
            **given, release=ReleaseStore(self.layout).live() or "", check_mode=check_mode, secrets=tuple(self.hidden.secrets)
        )
        self.steps = canaries.plan(params["leave"], params["look"], self.settings)

    def found(self) -> tuple[bool, dict[str, object]]:
        """Look for it, or leave one when there is none. :raises ServiceError: when it is not shown."""
        record = canaries.read(self.layout)
        if not record:
            return self._leave("")
        tests, problem, unseen = self._look(record)
        if problem:
            raise ServiceError(
                f"what release {record['release']} stored on {record['created']}",
                f"to be shown by release {self.settings.release}",
                problem,
                "What users stored before is lost to them, though it is on the disk: look at mobius_app_path and mobius_shared_folders",
                {"tests": self.hidden.value(tests)},
            )
        return False, self._result("none" if unseen else "found", tests, record, unseen)

    def left(self) -> tuple[bool, dict[str, object]]:
        """Make sure that there is one that is shown now."""
        record = canaries.read(self.layout)
        tests, problem, unseen = self._look(record) if record else ([], "", "")
        if not record or (problem and not self.settings.check_mode):
            return self._leave(problem)
        return False, self._result("none" if unseen else "found", tests, record, unseen, problem)

    def _look(self, record: smoke_types.Canary) -> tuple[list[smoke_types.Test], str, str]:
        """The tests, what is not shown, and what could not be looked for."""
        tests = canaries.look(record, self.steps, self.settings)
        return tests, _told(tests, "failed"), _told(tests, "skipped")

    def _leave(self, lost: str) -> tuple[bool, dict[str, object]]:
        if self.settings.check_mode:
            return True, self._result("none", [], None, "check mode leaves nothing", lost)
        canaries.forget(self.layout)
        tests = canaries.leave(self.layout, self.steps, self.settings)
        record = canaries.read(self.layout)
        return bool(record), self._result("left" if record else "none", tests, record, _told(tests, "failed", "skipped"), lost)

    def _result(
        self, canary: str, tests: list[smoke_types.Test], record: smoke_types.Canary | None, reason: str = "", lost: str = ""
    ) -> dict[str, object]:
        created = {"created": record["created"]} if record else {}
        warnings = (
            [
                f"What was stored to be looked for after a switch is not shown by release {self.settings.release} any more: {lost}. "
                "What users stored may be lost to them, too."
            ]
            if lost
            else []
        )
        if canary == "none" and not self.settings.check_mode:
            warnings.append(f"Whether data of before is still shown cannot be told: {reason}.")
        found: dict[str, object] = self.hidden.value(
            {"canary": canary, "reason": reason, "lost": lost, "tests": tests, "warnings": warnings, **created}
        )
        return found


def _told(tests: list[smoke_types.Test], *statuses: str) -> str:
    return "; ".join(f"{test['name']} ({test['reason']})" for test in tests if test["status"] in statuses)


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Bring about the state."""
    changed, result = getattr(Canary(params, check_mode), params["state"])()
    return arguments.Answer(changed, result)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "root": arguments.ROOT,
            "state": {"type": "str", "choices": ["left", "found"], "default": "found"},
            "leave": {"type": "list", "elements": "dict", "required": True},
            "look": {"type": "list", "elements": "dict", "required": True},
            "base_url": {"type": "str", "default": ""},
            "timeout": {"type": "float", "default": 5},
            "attempts": {"type": "int", "default": 1},
            "headers": arguments.HEADERS,
            "secret_headers": arguments.SECRET_HEADERS,
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
