"""What AWX refuses, or takes and then fails with, inside of values that the modules of awx.awx pass on unseen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

# -- surveys

TEXTS = {"text", "textarea", "password"}
NUMBERS: dict[str, tuple[type, ...]] = {"integer": (int,), "float": (int, float)}
CHOICES = {"multiplechoice", "multiselect"}
QUESTION = {"question_name", "question_description", "required", "type", "variable", "min", "max", "choices", "default", "new_question"}
#: Which kinds of questions suit a setting of this type.
SUITS = {
    "int": {"integer"},
    "float": {"integer", "float"},
    "bool": {"multiplechoice"},
    "str": TEXTS | {"multiplechoice"},
    "path": {"text"},
    "list": {"text", "textarea", "multiselect"},
    "raw": TEXTS,
    "dict": {"textarea"},
}
SECRET = re.compile(r"secret|password|token|dotenv|private|api_key")


def survey(spec: Any) -> Iterator[str]:
    """What is wrong with a survey by itself."""
    if not isinstance(spec, dict) or set(spec) != {"name", "description", "spec"}:
        yield "a survey has exactly name, description and spec"
        return
    questions = spec["spec"]
    if not isinstance(questions, list) or not questions:
        yield "spec is a list of at least one question"
        return
    seen: set[str] = set()
    for number, question in enumerate(questions, 1):
        if not isinstance(question, dict):
            yield f"question {number}: it is no question, but {question!r}"
            continue
        name = str(question.get("variable", number))
        if name in seen:
            yield f"question {name}: two questions have this variable"
        seen.add(name)
        for problem in question_alone(question):
            yield f"question {name}: {problem}"


def question_alone(question: dict[str, Any]) -> Iterator[str]:
    """What is wrong with one question by itself."""
    for key in sorted(set(question) - QUESTION):
        yield f"there is no key {key}; there are {', '.join(sorted(QUESTION))}"
    lacking = sorted({"question_name", "type", "variable", "required"} - set(question))
    if lacking:
        yield f"it lacks {', '.join(lacking)}"
        return
    if not str(question["question_name"]).strip():
        yield "question_name is empty"
    if not isinstance(question["required"], bool):
        yield f"required is true or false, not {question['required']!r}"
    if not re.fullmatch(r"[A-Za-z_]\w*", str(question["variable"])):
        yield "variable is no name of a variable"
    kind = str(question["type"])
    if kind not in TEXTS | set(NUMBERS) | CHOICES:
        yield f"there is no type {kind}; there are {', '.join(sorted(TEXTS | set(NUMBERS) | CHOICES))}"
    elif kind in CHOICES:
        yield from choices(question)
    else:
        yield from bounds(question)
    if kind not in TEXTS and question.get("default") in (None, ""):
        yield "it has no default; only a text may be left empty"


def choices(question: dict[str, Any]) -> Iterator[str]:
    """A question with choices: each is a text, and the default is one of them."""
    given = question.get("choices")
    if not isinstance(given, list) or not given or not all(isinstance(one, str) and one for one in given):
        yield "choices are a list of texts; put quotes around true, false and numbers"
        return
    if len(set(given)) < len(given):
        yield "a choice is there twice"
    default = question.get("default")
    wanted = default.split("\n") if isinstance(default, str) and question["type"] == "multiselect" else [default]
    for one in wanted:
        if one not in given and one not in (None, ""):
            yield f"default {one!r} is none of the choices"


def bounds(question: dict[str, Any]) -> Iterator[str]:
    """A text or a number: min is not above max, and the default lies between them."""
    kind = question["type"]
    number = NUMBERS.get(kind, (int,))
    for key in ("min", "max"):
        value = question.get(key)
        if isinstance(value, bool) or not isinstance(value, number):
            yield f"{key} is {'a number' if float in number else 'an integer'}, not {value!r}"
            return
    low, high = question["min"], question["max"]
    if low > high:
        yield f"min {low} is above max {high}"
    if "choices" in question:
        yield f"a question of type {kind} has no choices"
    default = question.get("default")
    if default in (None, ""):
        return
    if kind in NUMBERS and (isinstance(default, bool) or not isinstance(default, number)):
        yield f"default {default!r} is no {kind}"
    elif not low <= (default if kind in NUMBERS else len(str(default))) <= high:
        yield f"default {default!r} is not within min {low} and max {high}"


def question_for(question: dict[str, Any], option: dict[str, Any]) -> Iterator[str]:
    """Whether a question suits the setting that it asks for."""
    kind, wanted = str(question.get("type")), str(option.get("type", "str"))
    if option.get("no_log") or SECRET.search(str(question.get("variable"))) or kind == "password":
        yield "a secret is asked for; put it into a credential"
    suits = SUITS.get(wanted, TEXTS) | ({"multiplechoice"} if option.get("choices") else set())
    if kind in TEXTS | set(NUMBERS) | CHOICES and kind not in suits:
        yield f"the setting is of type {wanted}, which a question of type {kind} does not suit"
    known = option.get("choices") if wanted != "list" else (option.get("choices") or [])
    if wanted == "bool":
        known = ["true", "false"]
    given = question.get("choices")
    for one in given if isinstance(given, list) else []:
        if known and one not in [str(choice) for choice in known]:
            yield f"choice {one!r} is none of the setting's: {', '.join(map(str, known))}"
    if kind in TEXTS and not question.get("required") and option.get("choices") and "" not in option["choices"]:
        yield "it may be left empty, which is none of the setting's choices"


# -- schedules

PARTS = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTH", "BYMONTHDAY", "BYHOUR", "BYMINUTE", "BYSETPOS", "WKST"}
RANGES = {
    "INTERVAL": (1, 999),
    "COUNT": (1, 999),
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (-31, 31),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSETPOS": (-366, 366),
}
START = re.compile(r"DTSTART(?:;TZID=(?P<zone>[^:\s]+))?:(?P<time>\d{8}T\d{6})(?P<utc>Z?)")


def rrule(text: Any) -> Iterator[str]:
    """What AWX refuses in a recurrence rule: it takes one DTSTART, then rules, a part of what RFC 5545 has."""
    words = str(text).split()
    if not words or not words[0].startswith("DTSTART"):
        yield "it begins with DTSTART:YYYYMMDDTHHMMSSZ, or DTSTART;TZID=…:YYYYMMDDTHHMMSS"
        return
    yield from start(words[0])
    if len(words) < 2:
        yield "there is no RRULE:… after DTSTART"
    for word in words[1:]:
        kind, _colon, parts = word.partition(":")
        if kind not in ("RRULE", "EXRULE"):
            yield f"{kind}: AWX takes one DTSTART, then RRULE and EXRULE only"
        else:
            yield from rule(parts)


def start(word: str) -> Iterator[str]:
    """The first word of a rule: a time that there is, in UTC or in a zone that there is."""
    found = START.fullmatch(word)
    if not found:
        yield f"{word}: expected DTSTART:YYYYMMDDTHHMMSSZ, or DTSTART;TZID=…:YYYYMMDDTHHMMSS"
        return
    if bool(found["zone"]) == bool(found["utc"]):
        yield f"{word}: give either Z for UTC, or TZID"
    try:
        datetime.strptime(found["time"], "%Y%m%dT%H%M%S")
    except ValueError:
        yield f"{word}: there is no such date or time"
    if found["zone"]:
        try:
            ZoneInfo(found["zone"])
        except (KeyError, ValueError, OSError):
            yield f"{word}: there is no time zone {found['zone']}"


def rule(text: str) -> Iterator[str]:
    """One RRULE: known parts, once each, with values in their range."""
    pairs = [pair.partition("=") for pair in text.split(";")]
    parts = {key: value for key, _equals, value in pairs}
    if len(parts) < len(pairs):
        yield "a part is there twice"
    for key in parts:
        if key not in PARTS:
            yield f"AWX takes no {key or 'empty part'}; it takes {', '.join(sorted(PARTS))}"
    if parts.get("FREQ") not in ("MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        yield f"FREQ is MINUTELY, HOURLY, DAILY, WEEKLY, MONTHLY or YEARLY, not {parts.get('FREQ', 'missing')}"
    if "INTERVAL" not in parts:
        yield "INTERVAL is missing; AWX needs it"
    if "COUNT" in parts and "UNTIL" in parts:
        yield "COUNT and UNTIL exclude each other"
    if "UNTIL" in parts and not re.fullmatch(r"\d{8}T\d{6}Z", parts["UNTIL"]):
        yield f"UNTIL is YYYYMMDDTHHMMSSZ, not {parts['UNTIL']}"
    for key, (low, high) in RANGES.items():
        for value in parts.get(key, "").split(",") if key in parts else []:
            if not re.fullmatch(r"-?\d+", value) or not low <= int(value) <= high or (int(value) == 0 and low != 0):
                yield f"{key} is between {low} and {high}, not {value or 'empty'}"
    for day in parts.get("BYDAY", "MO").split(","):
        if day not in ("MO", "TU", "WE", "TH", "FR", "SA", "SU"):
            yield f"BYDAY is MO, TU, WE, TH, FR, SA or SU, without a number, not {day}"


# -- credential types

FIELD = {"id", "label", "help_text", "type", "format", "secret", "multiline", "choices", "default", "ask_at_runtime"}


def inputs(given: Any) -> Iterator[str]:
    """What is wrong with the fields of a credential type."""
    fields = given.get("fields") if isinstance(given, dict) and set(given) <= {"fields", "required", "metadata"} else None
    if not isinstance(fields, list) or not all(isinstance(field, dict) for field in fields):
        yield "inputs has a list of fields, and may have required and metadata"
        return
    ids = [str(field.get("id")) for field in fields]
    for field in fields:
        for key in sorted(set(field) - FIELD):
            yield f"field {field.get('id')}: there is no key {key}; there are {', '.join(sorted(FIELD))}"
        if not re.fullmatch(r"[A-Za-z_]\w*", str(field.get("id"))) or field.get("id") == "tower":
            yield f"field {field.get('id')}: its id is no name, or reserved"
        if not field.get("label"):
            yield f"field {field.get('id')}: it lacks a label"
        if str(field.get("type", "string")) not in ("string", "boolean"):
            yield f"field {field.get('id')}: its type is string or boolean, not {field['type']}"
    for one in {one for one in ids if ids.count(one) > 1}:
        yield f"field {one}: it is there twice"
    required = given.get("required", [])
    if not isinstance(required, list):
        yield "required is a list of fields"
        return
    for one in required:
        if one not in ids:
            yield f"required names {one}, which is no field"


class _Files:
    """The paths that a template may name: `tower.filename`, or `tower.filename.NAME` for several files."""

    def __init__(self, names: list[str]) -> None:
        several = [name.split(".", 1)[1] for name in names if "." in name]
        self.filename: Any = type("Names", (), dict.fromkeys(several, "path"))() if several else "path"
        if not names:
            del self.filename


def injectors(given: Any, fields: set[str]) -> Iterator[str]:
    """What is wrong with the injectors: each template parses, and names fields that there are."""
    if (
        not isinstance(given, dict)
        or not given
        or not set(given) <= {"env", "extra_vars", "file"}
        or not all(isinstance(part, dict) and all(isinstance(name, str) for name in part) for part in given.values())
    ):
        yield "injectors are env, extra_vars or file, each with names and templates"
        return
    files = list(given.get("file", {}))
    if "template" in files and len(files) > 1:
        yield "file: several files are called template.NAME"
    for name in files:
        if not re.fullmatch(r"template(\.[A-Za-z_]\w*)?", name):
            yield f"file: {name} is not called template, or template.NAME"
    for name in given.get("env", {}):
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or name.startswith("ANSIBLE_"):
            yield f"env: {name} is no variable that AWX lets a credential set"
    for name in given.get("extra_vars", {}):
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            yield f"extra_vars: {name} is no name of a variable"
    environment = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined)
    names = {**dict.fromkeys(fields, "value"), "tower": _Files(files)}
    for place, text in texts(given):
        try:
            environment.from_string(text).render(names)
        except jinja2.TemplateSyntaxError as error:
            yield f"{place}: its template does not parse: {error}"
        except jinja2.TemplateError as error:
            yield f"{place}: {error}; fields are {', '.join(sorted(fields))}"


def unused(given: dict[str, Any], fields: set[str]) -> Iterator[str]:
    """The fields that sound injectors do not name. AWX takes them, but nobody reads their secrets."""
    parse = ImmutableSandboxedEnvironment().parse
    used = set().union(*(jinja2.meta.find_undeclared_variables(parse(text)) for _place, text in texts(given)))
    for field in sorted(fields - used):
        yield f"field {field} is injected nowhere"


def texts(node: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text below a node, with its place."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(value, f"{place}.{key}".strip("."))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from texts(value, f"{place}[{number}]")
    else:
        yield place, str(node)
