#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_drill
short_description: Restores a backup beside the live data, tries it, and keeps proof of it
version_added: 0.1.0
description:
  - Does with one archive what an emergency would ask for, in a scratch folder and beside the running service. Checks
    its sidecar and every member, extracts it, reads every restored file again from the disk and compares it with the manifest,
    opens every SQLite database, and starts the application on the restored data, on a spare port of the loopback address.
  - Then everything is cleared away. The verdict, with the step and the reason when it failed, the time of each step and
    what was compared goes into the history and into a report, C(<root>/reports/drill-<env>-<stamp>.html) and C(.json), whatever
    the verdict.
  - The live service is neither stopped nor asked, and its data is not written to. For the application that the drill
    starts, everything but the scratch folder is read-only, and the restored data stands in the place of C(<root>/shared), as
    RV(application) tells by C(isolation).
  - The application is that of the release which the archive names. When it is not on the host any more, it is the live one, and
    RV(notes) say so.
  - A drill that was killed leaves its scratch folder. The next one ends what is left of it and removes it.
options:
  archive:
    description:
      - Path of the archive on the target, with its C(.sha256) beside it.
      - The newest one of O(env) in O(dest) that is no safety backup when it is not given, whether or not it has a sidecar. One without
        fails the drill.
    type: path
  dest:
    description:
      - The folder with the archives. C(<root>/backups) when it is not given.
    type: path
  allow_env:
    description:
      - The name of the environment that the archive comes from, when it is on purpose another one than O(env).
    type: str
  scratch:
    description:
      - An existing folder, in which the drill makes a fresh one of mode V(0700) and removes it afterwards. Data and code must
        fit on its disk. The service user must be able to reach it. Under systemd it must not be below C(/home) or C(/root).
      - The folder O(root) when it is not given.
    type: path
  service:
    description:
      - Name of the service, as M(mobius.ops.node_service) knows it. The drill takes over its command, user and environment.
      - No application is started when it is not given.
    type: str
  port:
    description:
      - TCP port for the application that the drill starts. A free one by default.
    type: int
    default: 0
  environment:
    description:
      - Environment variables for the application that the drill starts, such as one that keeps it from sending mails. They
        win over those of the service and of the restored C(.env). No secrets.
      - C(MOBIUS_DRILL) is always set, so that an application can tell that this is a drill.
    type: dict
    default: {}
  base_url:
    description:
      - Where O(checks) find the live service. This beginning of their addresses is replaced by the address of the application
        that the drill starts, and so is the service's own address on the loopback interface. V({port}) in an address
        stands for the spare port.
      - A check that would ask anybody else is refused.
    type: str
    default: ""
  ready_timeout:
    description: Seconds within which the application must pass all of O(checks).
    type: float
    default: 60
  timeout:
    description: Seconds after which the drill gives up, with the verdict V(failed).
    type: float
    default: 14400
attributes:
  check_mode:
    support: full
    details:
      - Checks the archive in full where it lies, and tells which release would be started. Nothing is written.
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - Every run is a drill of its own.
notes:
  - Fails when the verdict is V(failed); all results are there then, too. It also fails, without a verdict and an entry in the history,
    when it could not even begin because an option is wrong, the host was not set up or another drill runs.
  - The application that is started does what it always does when it starts. It may take up queued render jobs of the restored data,
    and it may reach other hosts. See O(environment).
extends_documentation_fragment:
  - mobius.ops.shared.root
  - mobius.ops.shared.env
  - mobius.ops.shared.signatures
  - mobius.ops.shared.progress
  - mobius.ops.shared.attributes
  - mobius.ops.checks
seealso:
  - module: mobius.ops.backup
  - module: mobius.ops.backup_info
  - module: mobius.ops.backup_restore
author:
  - MOBIUS operations (@mobius-ops)
"""

EXAMPLES = r"""
- name: Drill the newest backup
  mobius.ops.backup_drill:
    root: /opt/mobius
    env: production
    service: mobius
    base_url: http://127.0.0.1:5001
    checks:
      - name: health
        url: http://127.0.0.1:5001/health
        json: ["status == 'ok'"]
    environment:
      SMTP_HOST: ""

- name: Only restore and compare an archive, on a disk of its own
  mobius.ops.backup_drill:
    root: /opt/mobius
    env: production
    archive: /srv/copies/dhash_production_20261123_160000.zip
    scratch: /srv/scratch
"""

RETURN = r"""
verdict:
  description: V(passed) or V(failed); V(planned) in check mode.
  returned: success, and failure of a drill that began
  type: str
  sample: passed
step:
  description: The step that failed; V(verify), V(extract), V(compare), V(database), V(application) or V(clear). Empty otherwise.
  returned: with RV(verdict)
  type: str
reason:
  description: Why it failed; empty otherwise.
  returned: with RV(verdict)
  type: str
archive:
  description: Path of the archive.
  returned: with RV(verdict)
  type: str
  sample: /opt/mobius/backups/dhash_production_20261123_160000.zip
sha256:
  description: SHA-256 of the archive.
  returned: when the archive fits its sidecar
  type: str
release:
  description: Id of the release that the archive names.
  returned: when the archive can be opened
  type: str
steps:
  description:
    - The steps in their order, each with C(name), C(elapsed) in seconds and C(status), which is V(passed), V(failed), V(skipped)
      or V(not_reached).
  returned: with RV(verdict)
  type: list
  elements: dict
files:
  description: Number of files that were compared; in check mode, of those in the archive.
  returned: with RV(verdict)
  type: int
bytes:
  description: Their size.
  returned: with RV(verdict)
  type: int
databases:
  description: SQLite databases, each with C(path), number of C(tables) and C(rows), and C(counts) of rows by table.
  returned: with RV(verdict)
  type: list
  elements: dict
application:
  description:
    - What was started; C(release), C(port), C(isolation), C(ready_after) in seconds and C(checks). None without O(service).
    - C(isolation) is V(mount_namespace) or V(systemd) when the live data was out of reach, V(user_only) when nothing but
      the rights of the service user kept it from them, and V(none) when not even those did. V(unknown) when it did not become ready.
  returned: with RV(verdict)
  type: dict
differences:
  description: Where the restored files differ from the manifest, at most 20, each with C(path) and C(what).
  returned: with RV(verdict)
  type: list
  elements: dict
evidence:
  description: The last lines that an application printed which did not become well; without the secrets of C(.env).
  returned: with RV(verdict)
  type: list
  elements: str
notes:
  description: What else is to be known, in words.
  returned: with RV(verdict)
  type: list
  elements: str
swept:
  description: What was removed of an earlier drill that had been killed.
  returned: with RV(verdict)
  type: list
  elements: str
recovery_time:
  description: Seconds that verifying, extracting and starting took together; none when the drill failed.
  returned: with RV(verdict)
  type: float
  sample: 12.3
elapsed:
  description: Duration of the whole drill in seconds.
  returned: with RV(verdict)
  type: float
report:
  description: Path of the report as a page; empty in check mode.
  returned: with RV(verdict)
  type: str
  sample: /opt/mobius/reports/drill-production-20261123_160000.html
report_json:
  description: Path of the same as JSON.
  returned: with RV(verdict)
  type: str
"""


from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._backup import signature
from ansible_collections.mobius.ops.plugins.module_utils._core import wording
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError
from ansible_collections.mobius.ops.plugins.module_utils._observe import health
from ansible_collections.mobius.ops.plugins.module_utils._restore.drill import drill
from ansible_collections.mobius.ops.plugins.module_utils._restore.drill import plan as drill_plan
from ansible_collections.mobius.ops.plugins.module_utils._restore.drill.drill_types import DrillFacts
from ansible_collections.mobius.ops.plugins.module_utils._target import progress
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout, check_name


def request_of(params: arguments.Params, layout: Layout) -> drill_plan.Request:
    """The request that the options make. :raises InputError: when one has a wrong value."""
    return drill_plan.Request(
        env=check_name(params["env"], "env"),
        dest=params["dest"] or layout.backups,
        scratch=params["scratch"] or layout.root,
        archive=params["archive"],
        allow_env=params["allow_env"],
        service=params["service"],
        policy=signature.policy(params["allowed_signers"], params["signer"]),
        port=params["port"],
        environment=params["environment"],
        checks=health.normalize_all(params["checks"], params["headers"], params["secret_headers"]),
        base_url=params["base_url"],
        ready_timeout=params["ready_timeout"],
        timeout=params["timeout"],
    )


def failure(facts: DrillFacts) -> IntegrityError:
    """A drill that failed, as the module's failure with all that the drill found."""
    error = IntegrityError(f"drill of {facts['archive'] or facts['env']}", "to pass", facts=facts)
    error.say(f"The drill failed at the step {facts['step']}: {facts['reason']}")
    return error


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Drill, or check the archive and tell what would be done."""
    layout = Layout(params["root"])
    request = request_of(params, layout)
    facts = drill.plan(layout, request) if check_mode else drill.drill(layout, request, progress.meter(params))
    if facts["verdict"] == "failed":
        raise failure(facts)
    what = f"{facts['verdict']}: {facts['archive']}, {facts['files']} files, {wording.human_size(facts['bytes'])}"
    return arguments.Answer(
        True, facts, {"before": "", "after": f"drill {what}\n" + (f"report {facts['report']}\n" if facts["report"] else "")}
    )


def main() -> None:
    """Module entry point."""
    spec = {
        "root": arguments.ROOT,
        "env": arguments.ENV,
        "archive": {"type": "path"},
        "dest": {"type": "path"},
        "allow_env": {"type": "str"},
        "scratch": {"type": "path"},
        "service": {"type": "str"},
        "port": {"type": "int", "default": 0},
        "environment": {"type": "dict", "default": {}},
        "checks": arguments.CHECKS,
        "headers": arguments.HEADERS,
        "secret_headers": arguments.SECRET_HEADERS,
        "base_url": {"type": "str", "default": ""},
        "ready_timeout": {"type": "float", "default": 60},
        "timeout": {"type": "float", "default": 14400},
        **arguments.SIGNATURES,
        **arguments.PROGRESS,
    }
    arguments.execute(AnsibleModule(argument_spec=spec, supports_check_mode=True), run)


if __name__ == "__main__":
    main()
