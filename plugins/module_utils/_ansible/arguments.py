# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that several modules share, each written once, and the one way a module runs."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .._core import redaction, wording
from .._core.errors import InputError, OpsError
from . import background

#: The options of a module, as its argument spec has validated them.
Params = t.Mapping[str, t.Any]
#: An argument spec, or a part of one: option -> what Ansible's validator takes.
Spec = t.Mapping[str, t.Mapping[str, object]]


class Answer(t.NamedTuple):
    """What the run of a module returns."""

    changed: bool
    #: What its documentation has under RETURN, and ``warnings``, sentences that Ansible shows.
    result: t.Mapping[str, object]
    #: ``before`` and ``after``, which ``--diff`` shows; empty where there is nothing to show.
    diff: t.Mapping[str, object] = {}


ROOT = {"type": "path", "required": True}
ENV = {"type": "str", "required": True}
FLEET = {"type": "str", "default": ""}
COMPONENTS = {"type": "list", "elements": "str", "default": ["all"]}
SIGNATURES = {"allowed_signers": {"type": "path"}, "signer": {"type": "str", "default": "mobius-backup"}}
PROGRESS = {
    "progress": {"type": "str", "choices": ["all", "none"], "default": "all"},
    "progress_file": {"type": "path"},
    "progress_wait": {"type": "float"},
}
DIRECTORY = {name: {"type": "dict", "default": {}} for name in ("contacts", "oncall", "escalation")}
HEADERS = {"type": "dict", "default": {}}
SECRET_HEADERS = {"type": "dict", "default": {}, "no_log": True}
CHECKS = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "name": {"type": "str"},
        "url": {"type": "str", "required": True},
        "method": {"type": "str", "default": "GET"},
        "headers": {"type": "dict"},
        "secret_headers": {"type": "dict", "no_log": True},
        "body": {"type": "str"},
        "status": {"type": "list", "elements": "int", "default": [200]},
        "contains": {"type": "str"},
        "json": {"type": "list", "elements": "str"},
        "timeout": {"type": "float", "default": 5},
        "max_ms": {"type": "float"},
        "redirects": {"type": "int", "default": 0},
        "attempts": {"type": "int", "default": 1},
        "backoff": {"type": "float", "default": 0},
        "ca": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
        "client_cert": {"type": "path"},
        "client_key": {"type": "path", "no_log": False},
        "proxy": {"type": "str"},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
        "token": {"type": "str", "no_log": True},
    },
}


#: The options of ``backup``, ``backup_prune`` and ``backup_info`` beside root, environment and progress.
BACKUP: Spec = {
    "components": COMPONENTS,
    "dest": {"type": "path"},
    "level": {"type": "int", "default": 5},
    "full_every": {"type": "int", "default": 7},
    "never_reuse": {"type": "list", "elements": "str", "default": []},
    "allow_changed": {"type": "bool", "default": False},
    "allow_shrunk": {"type": "bool", "default": False},
    "sign_key": {"type": "path", "no_log": False},
    "purpose": {"type": "str", "choices": ["ordinary", "deploy"], "default": "ordinary"},
    "why": {"type": "str", "default": ""},
}
PRUNE: Spec = {
    "dest": {"type": "path"},
    **{f"keep_{rule}": {"type": "int", "default": 0} for rule in ("last", "daily", "weekly", "monthly")},
    "verify": {"type": "str", "choices": ["all", "newest"], "default": "all"},
    **SIGNATURES,
}
VERIFY: Spec = {
    "dest": {"type": "path"},
    "verify": {"type": "str", "choices": ["none", "checksum", "deep"], "default": "none"},
    "components": {"type": "list", "elements": "str"},
    "skip_safety": {"type": "bool", "default": False},
    "limit": {"type": "int"},
    "max_age": {"type": "float", "default": 0},
    **SIGNATURES,
}
#: The options that define a watch.
WATCH: Spec = {
    "env": {"type": "str"},
    "service": {"type": "str", "default": "mobius"},
    "duration": {"type": "float", "default": 3600},
    "interval": {"type": "float", "default": 60},
    "retry_interval": {"type": "float", "default": 5},
    "initial_delay": {"type": "float", "default": 0},
    "failure_threshold": {"type": "int", "default": 3},
    "error_threshold": {"type": "int", "default": 5},
    "restart_limit": {"type": "int", "default": 3},
    "requests": {"type": "int", "default": 30},
    "error_rate_pct": {"type": "float", "default": 5},
    "latency_pct": {"type": "float", "default": 50},
    "latency_floor_ms": {"type": "float", "default": 20},
    "window_failures": {"type": "int", "default": 0},
    "window_rounds": {"type": "int", "default": 10},
    "memory_mb": {"type": "float", "default": 0},
    "metrics_interval": {"type": "float", "default": 900},
    "thresholds": {"type": "dict", "default": {}},
    "recovery_threshold": {"type": "int", "default": 2},
    "keep": {"type": "int", "default": 100},
    "fleet": FLEET,
    "auto_rollback": {"type": "bool", "default": True},
    "ready_timeout": {"type": "float", "default": 60},
    "drain_timeout": {"type": "float", "default": 30},
}


def checked(option: str, spec: Spec, given: Params) -> Params:
    """The values of an option that is a dictionary with another module's options, with their defaults and in their types.

    :raises InputError: when one of them is unknown or does not fit.
    """
    found = ArgumentSpecValidator(spec).validate(given)
    if found.error_messages:
        raise InputError(option, f"options out of {', '.join(spec)}", " ".join(found.error_messages).rstrip("."), "Correct them")
    return found.validated_parameters


def execute(module: AnsibleModule, run: t.Callable[[Params, bool], Answer]) -> None:
    """Call ``run(params, check_mode)`` and leave the module with what it returns.

    An :class:`OpsError` becomes the module's failure message as it is,
    and what to do its ``remedy``; one of a wrong request has ``refused``. An operating system error names its file. ``warnings`` in a
    result are sentences that Ansible shows. What came from outside is cleaned here, in one place for all modules, and passwords in
    addresses are hidden from the arguments that Ansible shows with -vvv. With ``progress_file`` the work is done in the background.
    """
    module.no_log_values.update(redaction.in_addresses(module.params))
    try:
        if module.params.get("progress_file"):
            background.step_aside(module)
        changed, result, diff = run(module.params, module.check_mode)
    except OpsError as error:
        module.fail_json(**wording.cleaned({"msg": str(error), **_remedy(error), **_warned(module, getattr(error, "facts", {}))}))
    except OSError as error:
        module.fail_json(msg=wording.clean(f"{error.filename or module.params.get('root') or 'the system'}: {error.strerror or error}."))
    else:
        module.exit_json(changed=changed, diff=wording.cleaned(diff), **wording.cleaned(_warned(module, result)))


def _remedy(error: OpsError) -> dict[str, object]:
    """What to do, and whether the request itself was wrong: nobody needs to be called for that."""
    return {**({"remedy": error.todo} if error.todo else {}), **({"refused": True} if isinstance(error, InputError) else {})}


def _warned(module: AnsibleModule, result: t.Mapping[str, t.Any]) -> dict[str, object]:
    """The result without its ``warnings``, which Ansible was told."""
    for text in result.get("warnings", []):
        module.warn(wording.clean(text))
    return {key: value for key, value in result.items() if key != "warnings"}
