# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check a role's settings on the controller; documented as the module C(settings)."""

from __future__ import annotations

import os
import re
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleFilterError
from ansible.module_utils.common import validation
from ansible.plugins.action import ActionBase

from ansible_collections.mobius.ops.plugins.filter.dotenv import dotenv, left_out
from ansible_collections.mobius.ops.plugins.module_utils._gates.smoke import suite as smoke_suite
from ansible_collections.mobius.ops.plugins.module_utils._observe import probe
from ansible_collections.mobius.ops.plugins.module_utils._target import shared_folders
from ansible_collections.mobius.ops.plugins.plugin_utils import own_yaml, setting_names

KINDS: dict[str, tuple[str, t.Callable[..., t.Any]]] = {
    "bool": ("true or false", validation.check_type_bool),
    "dict": ("a dictionary", validation.check_type_dict),
    "float": ("a number", validation.check_type_float),
    "int": ("a whole number", validation.check_type_int),
    "list": ("a list", validation.check_type_list),
    "path": ("a path", validation.check_type_path),
    "str": ("a text", validation.check_type_str),
}


#: How a value is called that must not be shown.
FOUND: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    ((int, float), "a number"),
    (str, "a text"),
    (dict, "a dictionary"),
    (list, "a list"),
    (type(None), "nothing"),
)


class Option(t.TypedDict, total=False):
    """A setting in an argument specification."""

    type: str
    elements: str
    choices: list[object]
    required: bool
    no_log: bool


def shown(value: t.Any, option: Option) -> str:
    """The value as a message may have it: of an option that may hold secrets its kind only."""
    if not option.get("no_log"):
        return repr(value)
    return next((words for kind, words in FOUND if isinstance(value, kind)), "something else")


def unfit_secrets(values: t.Any) -> str:
    """What keeps ``mobius_dotenv`` from being written, without a value of it; empty when nothing does.

    The task that writes it hides its message.
    """
    try:
        dotenv(values)
    except AnsibleFilterError as error:
        return error.message
    return ""


def mistake(name: str, value: t.Any, option: Option) -> str:
    """What is wrong with a setting, in one sentence; empty when nothing is."""
    words, convert = KINDS.get(option.get("type", "str"), ("", lambda given: given))
    try:
        converted = convert(value)
        if option.get("type") == "list" and option.get("elements"):
            words = "a list, each " + KINDS[option["elements"]][0]
            converted = [KINDS[option["elements"]][1](item) for item in converted]
    except (TypeError, ValueError):
        return f"{name}: expected {words}, found {shown(value, option)}. Correct it."
    many = isinstance(converted, list)
    if option.get("choices") and any(one not in option["choices"] for one in (converted if many else [converted])):
        words = f"{'some' if many else 'one'} of {', '.join(map(str, option['choices']))}"
        return f"{name}: expected {words}, found {shown(value, option)}. Correct it."
    return ""


_OF_STEPS = smoke_suite.EVERY_STEP.union(*smoke_suite.FIELDS.values())
#: Lists of dictionaries whose fields are known here, and read later only.
FIELDS: dict[str, t.Collection[str]] = {
    "mobius_checks": {"name", "url", *probe.DEFAULTS},
    "mobius_smoke_checks": {"name", "url", *probe.DEFAULTS},
    "mobius_smoke_suite": _OF_STEPS,
    "mobius_canary_leave": _OF_STEPS,
    "mobius_canary_look": _OF_STEPS,
    "mobius_shared_folders": shared_folders.FIELDS,
}


#: Settings with the variables of the application; of their values nothing is shown.
VARIABLES = ("mobius_dotenv", "mobius_service_environment")
#: A variable that is a file mode, by its name, and the largest number that is one. YAML gives such a number only, not how it is written.
OF_A_MODE, MODES = re.compile(r"(?:MODE|UMASK|PERMS?|PERMISSIONS?|CHMOD)(?:_|\Z)", re.IGNORECASE), range(8, 0o10000)


def altered(name: str, value: t.Any) -> str:
    """How YAML has read a variable's value, when that is probably not as it is written; empty otherwise."""
    if isinstance(value, float):
        return "is a number with a point, and YAML drops zeros at the end of one (1.10 is 1.1). Write it in quotes."
    if isinstance(value, int) and value in MODES and OF_A_MODE.search(name):
        return "is a number, and YAML reads one that begins with 0 as octal (0640 is 416). Write it in quotes."
    return ""


def doubtful(values: t.Mapping[str, object]) -> list[str]:
    """What is no mistake, and probably not what was meant."""
    found = []
    for setting in VARIABLES:
        given = values.get(setting)
        found += [f"{setting}: {name} has no value (null) and is left out." for name in left_out(given)]
        pairs = given.items() if isinstance(given, dict) else ()
        found += [f"{setting}: {name} {told}" for name, value in pairs if (told := altered(str(name), value))]
    version = values.get("mobius_version")
    if isinstance(version, (int, float)):
        found.append(f"mobius_version is the number {version}. YAML drops zeros at the end of a number (1.10 is 1.1): write it in quotes.")
    return found


#: Settings on which the defaults of others depend, which cannot be told while these are wrong.
FIRST = ("mobius_profile",)


class ActionModule(ActionBase):
    """Template each setting that the specification names, and check it."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: t.Mapping[str, object] | None = None) -> dict[str, object]:
        """All mistakes in one message."""
        super().run(tmp, task_vars)
        known = task_vars or {}
        entry_points = own_yaml.read(self._task.args["spec"])["argument_specs"]
        options = entry_points[self._task.args.get("entry_point", "main")].get("options", {})
        self._require(known, options, [name for name in FIRST if name in options])
        given = {name: self._templar.template(known[name]) for name in options if name in known}
        mistakes = [mistake(name, value, options[name]) for name, value in sorted(given.items())]
        if given.get("mobius_dotenv") and not any(told.startswith("mobius_dotenv:") for told in mistakes):
            mistakes.append(unfit_secrets(given["mobius_dotenv"]))
        mistakes += [
            f"{name}: expected a value, found none. Set it in the inventory or with -e."
            for name in sorted(options)
            if options[name].get("required") and name not in known
        ]
        mistakes += setting_names.unknown(known, os.path.abspath(os.path.join(self._task.args["spec"], *[os.pardir] * 4)))
        mistakes += [told for name, allowed in FIELDS.items() for told in setting_names.fields(name, given.get(name), allowed)]
        if any(mistakes):
            raise AnsibleActionFail(" ".join(filter(None, mistakes)))
        if "mobius_version" in known:
            given["mobius_version"] = self._templar.template(known["mobius_version"])
        return {"changed": False, "checked": len(given), "warnings": doubtful(given)}

    def _require(self, task_vars: t.Mapping[str, object], options: t.Mapping[str, Option], names: list[str]) -> None:
        told = "".join(mistake(name, self._templar.template(task_vars[name]), options[name]) for name in names if name in task_vars)
        if told:
            raise AnsibleActionFail(told)
