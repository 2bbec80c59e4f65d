# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check a role's settings on the controller; documented as the module C(settings)."""
from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common import validation
from ansible.plugins.action import ActionBase

KINDS: dict[str, tuple[str, t.Callable[..., t.Any]]] = {
    "bool": ("true or false", validation.check_type_bool),
    "dict": ("a dictionary", validation.check_type_dict),
    "float": ("a number", validation.check_type_float),
    "int": ("a whole number", validation.check_type_int),
    "list": ("a list", validation.check_type_list),
    "path": ("a path", validation.check_type_path),
    "str": ("a text", validation.check_type_str),
}


def mistake(name: str, value: t.Any, option: dict[str, t.Any]) -> str:
    """What is wrong with a setting, in one sentence; empty when nothing is."""
    words, convert = KINDS.get(option.get("type", "str"), ("", lambda given: given))
    try:
        converted = convert(value)
        if option.get("type") == "list" and option.get("elements"):
            words = "a list, each " + KINDS[option["elements"]][0]
            converted = [KINDS[option["elements"]][1](item) for item in converted]
    except (TypeError, ValueError):
        return f"{name}: expected {words}, found {value!r}. Correct it."
    if option.get("choices") and converted not in option["choices"]:
        return f"{name}: expected one of {', '.join(map(str, option['choices']))}, found {value!r}. Correct it."
    return ""


class ActionModule(ActionBase):
    """Template each setting that the specification names, and check it."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """All mistakes in one message."""
        super().run(tmp, task_vars)
        entry_points = self._loader.load_from_file(self._task.args["spec"])["argument_specs"]
        options = entry_points[self._task.args.get("entry_point", "main")].get("options", {})
        given = {name: self._templar.template(task_vars[name]) for name in options if name in task_vars}
        mistakes = [mistake(name, value, options[name]) for name, value in sorted(given.items())]
        mistakes += [f"{name}: expected a value, found none. Set it in the inventory or with -e."
                     for name in sorted(options) if options[name].get("required") and name not in task_vars]
        if any(mistakes):
            raise AnsibleActionFail(" ".join(filter(None, mistakes)))
        return {"changed": False, "checked": len(given)}
