#!/usr/bin/python
# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: smoke_test
short_description: Run a suite of smoke tests, keep every attempt, write JUnit XML
version_added: 0.1.0
description:
  - Runs the steps of O(suite) one after the other and tells of each whether it passed, failed, or was skipped and why. It fails at the end
    when a test failed or none passed.
  - A step is of one kind, by the field it has. C(url) is an HTTP request; C(video) fetches a video, decodes all of it and looks at its
    codecs and length; C(program) asks a program for its version; C(disk) looks at the free space of a file system.
  - What a step captures from a JSON answer fills C({name}) in the steps after it. A step that needs what was not captured is skipped.
  - Source is the runbook's C(smoke_tests.sh).
author: MOBIUS operations (@mobius-ops)
extends_documentation_fragment:
  - mobius.ops.shared.attributes
options:
  suite:
    description: The steps, in their order. A field that does not belong to a step's kind is refused before anything is sent.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What to call the test. No two steps may have the same.
        type: str
        required: true
      url:
        description: Where to send a request; what has no scheme is below O(base_url).
        type: str
      method:
        description: The HTTP method, by default V(GET), or V(POST) with C(upload).
        type: str
      headers:
        description: Headers of this step; they win over O(headers).
        type: dict
      secret_headers:
        description: Headers of this step that are secrets; they win over all others.
        type: dict
      body:
        description: The body to send; a structure is sent as JSON.
        type: raw
      status:
        description: The expected HTTP status codes, by default 200.
        type: list
        elements: int
      contains:
        description: Text that the body must contain.
        type: str
      json:
        description: JMESPath expressions that must each be true of the JSON body.
        type: list
        elements: str
      timeout:
        description: Seconds within which the whole answer must be there, by default O(timeout).
        type: float
      max_ms:
        description: Milliseconds above which a right answer fails the test all the same.
        type: float
      upload:
        description:
          - Send a multipart form with a file in C(field). C(filename), C(type) and C(text) are its name, media type and content; without
            C(text) it is a small PNG picture. C(form) has further fields.
        type: dict
      same_as:
        description: The name of an earlier step; the answer must have exactly the bytes that it uploaded.
        type: str
      capture:
        description: Names, and for each a JMESPath expression of its value in the JSON answer. One that finds nothing fails the test.
        type: dict
      repeat_until:
        description: JMESPath expression; the request is sent again until it is true. An answer with another status ends it.
        type: str
      give_up_when:
        description: JMESPath expression with which C(repeat_until) cannot become true any more; the test has failed then.
        type: str
      interval:
        description: Seconds between two requests of C(repeat_until), by default 1.
        type: float
      limit:
        description: Seconds within which C(repeat_until) must become true, by default 60.
        type: float
      skip_unless:
        description: JMESPath expression. When C(json) does not hold and this is not true either, the test is skipped instead of failed.
        type: str
      key_header:
        description: The header that carries the key. When none was given, an answer of 401 or 403 skips the test instead of failing it.
        type: str
      made:
        description:
          - Addresses of files that this step makes, or their paths as the application sees them; mostly a captured one. See O(root).
          - One that ends with a slash is a folder; it is removed with all that is in it.
        type: list
        elements: str
      cleanup:
        description: Run it at the end, after all others, whatever came of them. By default false.
        type: bool
      attempts:
        description: How often the step is tried at most. By default O(attempts), and once for a method that may change something.
        type: int
      pause:
        description: Seconds between two attempts, by default 1.
        type: float
      video:
        description: The address of a video, as C(url). Without C(ffprobe) the test is skipped.
        type: str
      codecs:
        description: Codecs that it must have, as C(ffprobe) calls them.
        type: list
        elements: str
      min_seconds:
        description: Seconds that it must last.
        type: float
      max_seconds:
        description: Seconds that it may last.
        type: float
      min_bytes:
        description: Bytes that the video or the file must have, by default 1.
        type: int
      max_bytes:
        description: Bytes that it may have, by default 200 MB. No more are fetched.
        type: int
      file:
        description:
          - The address of a file that lies in one of O(folders), served or not. It must be there as a plain file.
          - Without O(root), and with O(outside), the test is skipped.
        type: str
      program:
        description: A program on the PATH.
        type: str
      min_version:
        description: The lowest version that will do, as text. Any when empty.
        type: str
      version_argument:
        description: What makes the program print its version, by default V(--version).
        type: str
      disk:
        description: A path on the file system to look at.
        type: path
      min_free_mb:
        description: Megabytes (10^6 bytes) that must be free.
        type: float
      max_used_pct:
        description: Percentage that may be used.
        type: float
  base_url:
    description: Where the application is.
    type: str
    default: ""
  timeout:
    description: Seconds within which each answer must be there, where the step says nothing else.
    type: float
    default: 5
  attempts:
    description: How often a step is tried that changes nothing, where it says nothing else.
    type: int
    default: 1
  headers:
    description: Headers that every request sends. They are shown; what is a secret goes into O(secret_headers).
    type: dict
    default: {}
  secret_headers:
    description:
      - Headers that are secrets, such as C(X-Mobius-API-Key). They win over O(headers) and are never shown.
      - They are sent to addresses below O(base_url) only.
    type: dict
    default: {}
  root:
    description:
      - The folder that holds everything of the application, as in M(mobius.ops.layout), where the tests run beside it.
      - The live release is read from it, the values of its C(.env) are hidden in the results, and the files that the steps C(made) are
        removed from it at the end.
    type: path
  release:
    description: The id of the release that should answer; it fills C({release}). By default the live one of O(root).
    type: str
  folders:
    description:
      - Parts of addresses and paths as the application tells them, and where below O(root) the files are that have them.
      - What follows the last such part is a name right below that folder.
    type: dict
    default:
      /uploads/: shared/uploads
      /uploads/render-jobs/: shared/uploads/render-jobs
      /uploads/thumbnails/: shared/uploads/.root/thumbnails
      /uploads/images/: shared/uploads/.root/images
      /data/: shared/data
  remove:
    description:
      - Addresses of files that another run made (RV(left)), to be removed from O(root) as those of this one. O(suite) may be empty then.
    type: list
    elements: str
    default: []
  began:
    description: When that other run began (RV(began)).
    type: float
  outside:
    description: The tests do not run on the application's host; steps about files, programs and disks are skipped.
    type: bool
    default: false
  junit:
    description:
      - Absolute path of the JUnit XML to write, where the module runs. The same as JSON is written beside it, with the ending C(.json).
      - An earlier file is replaced. Missing folders are made.
    type: path
  env:
    description: The environment's name, for the report.
    type: str
    default: ""
  service:
    description: Name of the service below O(root) that is tested. What it printed is searched for writes outside its shared folders.
    type: str
requirements:
  - requests where it runs
  - jmespath where it runs, for expressions
  - junitparser 2.8 or newer where it runs, for O(junit)
  - ffprobe where it runs, for videos
attributes:
  check_mode:
    support: partial
    details: Requests that change nothing are sent. Others, such as uploads, are skipped, and no report is written.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details: It is a change when files stay that the tests made. A report is none.
notes:
  - The application's own records of an upload or a render stay when it has no request to remove them; a step with C(cleanup) can send one.
seealso:
  - module: mobius.ops.health_check
"""

EXAMPLES = r"""
- name: Does it work?
  mobius.ops.smoke_test:
    base_url: https://api.mobius.example.com
    timeout: 5
    junit: /var/lib/mobius/smoke.xml
    secret_headers:
      X-Mobius-API-Key: "{{ vault_mobius_api_key }}"
    suite:
      - name: health
        url: /health
        json: ["status == 'ok'"]
        attempts: 3
      - name: upload
        url: /upload-images
        upload: {field: images}
        capture: {picture: "images[0].path", thumbnail: "images[0].preview"}
        made: ["{picture}", "{thumbnail}"]
      - name: the same bytes come back
        url: "{picture}"
        same_as: upload
"""

RETURN = r"""
passed:
  description: Whether no test failed, and at least one passed.
  returned: always
  type: bool
counts:
  description: How many tests are V(passed), V(failed) and V(skipped), and how many passed only when tried again (V(flaky)).
  returned: always
  type: dict
write_attempts:
  description: Where the application tried to write outside its shared folders, as RV(mobius.ops.release#module:write_attempts).
  returned: always; empty without O(service)
  type: list
  elements: dict
tests:
  description: A record a step, in the order in which they ran.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The step's name.
      type: str
    kind:
      description: V(url), V(video), V(file), V(program) or V(disk).
      type: str
    status:
      description: V(passed), V(failed) or V(skipped).
      type: str
    reason:
      description: Why it did not pass; empty when it did.
      type: str
    found:
      description: What was found, such as status and time, a version, or codecs.
      type: str
    flaky:
      description: Whether it passed only when tried again.
      type: bool
    seconds:
      description: How long it took with all its attempts.
      type: float
    attempts:
      description: Every attempt; fields as in RV(mobius.ops.health_check#module:results).
      type: list
      elements: dict
summary:
  description: What came of it, in a sentence.
  returned: always
  type: str
started:
  description: When it began, ISO 8601 in UTC.
  returned: always
  type: str
began:
  description: The same in seconds since 1970.
  returned: always
  type: float
elapsed:
  description: Seconds that it took.
  returned: always
  type: float
base_url:
  description: Where the application is.
  returned: always
  type: str
release:
  description: The release that should have answered; empty when it is not known.
  returned: always
  type: str
env:
  description: The environment's name.
  returned: always
  type: str
removed:
  description: Paths of the files that the tests made and that were removed.
  returned: always
  type: list
  elements: str
left:
  description: Addresses of files that the tests made and that stay, and why.
  returned: always
  type: dict
"""

import contextlib
import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.mobius.ops.plugins.module_utils._ansible import arguments
from ansible_collections.mobius.ops.plugins.module_utils._core import clock as core_clock
from ansible_collections.mobius.ops.plugins.module_utils._core import redaction
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError, ServiceError
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import junit as smoke_junit
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import made_files as smoke_files
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import run as smoke_run
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import suite as smoke_suite
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke.smoke_types import SmokeReport
from ansible_collections.mobius.ops.plugins.module_utils._service import registry as service_registry
from ansible_collections.mobius.ops.plugins.module_utils._service import write_attempts as service_write_attempts
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout

FOLDERS = {
    "/uploads/": "shared/uploads",
    "/uploads/render-jobs/": "shared/uploads/render-jobs",
    "/uploads/thumbnails/": "shared/uploads/.root/thumbnails",
    "/uploads/images/": "shared/uploads/.root/images",
    "/data/": "shared/data",
}
STEP = {
    **{
        name: {"type": "str"}
        for name in (
            "url",
            "method",
            "contains",
            "same_as",
            "repeat_until",
            "give_up_when",
            "skip_unless",
            "video",
            "file",
            "program",
            "min_version",
            "version_argument",
        )
    },
    "key_header": {"type": "str", "no_log": False},  # its name, not its value
    **{
        name: {"type": "float"}
        for name in ("timeout", "max_ms", "interval", "limit", "pause", "min_seconds", "max_seconds", "min_free_mb", "max_used_pct")
    },
    **{name: {"type": "int"} for name in ("attempts", "min_bytes", "max_bytes")},
    **{name: {"type": "dict"} for name in ("headers", "upload", "capture")},
    **{name: {"type": "list", "elements": "str"} for name in ("json", "made", "codecs")},
    "name": {"type": "str", "required": True},
    "secret_headers": {"type": "dict", "no_log": True},
    "body": {"type": "raw"},
    "status": {"type": "list", "elements": "int"},
    "cleanup": {"type": "bool"},
    "disk": {"type": "path"},
}


def settings_of(params: arguments.Params, check_mode: bool, secrets: list[str]) -> smoke_suite.Settings:
    """What the steps share."""
    release = params["release"] or ""
    current = Layout(params["root"]).current if params["root"] else ""
    if not release and os.path.islink(current):
        release = os.path.basename(os.readlink(current))
    return smoke_suite.Settings(
        params["base_url"],
        params["headers"],
        params["secret_headers"],
        params["timeout"],
        params["attempts"],
        release,
        params["outside"],
        check_mode,
        params["root"] or "",
        params["folders"],
        tuple(secrets),
    )


def run(params: arguments.Params, check_mode: bool) -> arguments.Answer:
    """Run the suite, remove what it made, write the report; then fail when it did not pass."""
    began, clock = time.time(), time.monotonic()
    env_file = Layout(params["root"]).env_file if params["root"] else os.devnull
    hidden = smoke_suite.redactor(env_file, [params["secret_headers"]], params["suite"])
    settings = settings_of(params, check_mode, hidden.secrets)
    steps = smoke_suite.plan(params["suite"], settings) if params["suite"] or not params["remove"] else []
    if params["junit"]:
        smoke_junit.require(params["junit"])
        if not check_mode:
            os.makedirs(os.path.dirname(params["junit"]), exist_ok=True)
    tests, made = smoke_run.perform(steps, settings)
    since = began if params["began"] is None else params["began"]
    removed, left = ([], {}) if check_mode else smoke_files.remove([*params["remove"], *made], params["root"], params["folders"], since)
    counts = smoke_run.counts(tests)
    report: SmokeReport = {
        "passed": not counts["failed"] and (counts["passed"] > 0 or not steps),
        "counts": counts,
        "tests": tests,
        "summary": smoke_run.sentence(tests),
        "started": core_clock.from_epoch(began),
        "began": began,
        "elapsed": round(time.monotonic() - clock, 3),
        "base_url": redaction.without_passwords(params["base_url"]),
        "release": settings.release,
        "env": params["env"],
        "removed": removed,
        "left": left,
    }
    report = hidden.value(report)
    report["write_attempts"] = write_attempts(params)
    if params["junit"] and not check_mode:
        smoke_junit.keep(params["junit"], report)
    error = refusal(report)
    if error:
        raise error
    return arguments.Answer(bool(left), report)


def write_attempts(params: arguments.Params) -> list[service_write_attempts.Finding]:
    """Where the service tried to write elsewhere; nothing of one that was not set up."""
    with contextlib.suppress(OpsError):
        if params["root"] and params["service"]:
            return service_write_attempts.of(service_registry.load(Layout(params["root"]), params["service"]))
    return []


def refusal(report: SmokeReport) -> ServiceError | None:
    """The one message of a run that did not pass."""
    if report["passed"]:
        return None
    todo = "Look at the tests that failed" if report["counts"]["failed"] else "Correct what kept them from running"
    return ServiceError(f"smoke tests of {report['base_url'] or 'this host'}", "every test to pass", report["summary"], todo, report)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "suite": {"type": "list", "elements": "dict", "required": True, "options": STEP},
            "base_url": {"type": "str", "default": ""},
            "timeout": {"type": "float", "default": 5},
            "attempts": {"type": "int", "default": 1},
            "headers": arguments.HEADERS,
            "secret_headers": arguments.SECRET_HEADERS,
            "root": {"type": "path"},
            "release": {"type": "str"},
            "folders": {"type": "dict", "default": FOLDERS},
            "remove": {"type": "list", "elements": "str", "default": []},
            "began": {"type": "float"},
            "outside": {"type": "bool", "default": False},
            "junit": {"type": "path"},
            "env": {"type": "str", "default": ""},
            "service": {"type": "str"},
        },
        supports_check_mode=True,
    )
    arguments.execute(module, run)


if __name__ == "__main__":
    main()
