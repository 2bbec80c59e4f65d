# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A suite of smoke tests: its steps as data, in full form, and what one learns for the next.

A step is of one kind: ``url`` (an HTTP request), ``video``, ``file`` (on the host), ``program`` or ``disk``. Values that a step captures
from its answer fill ``{name}`` in later ones. A test ends ``passed``, ``failed`` or ``skipped``; every attempt of it is kept.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ..._core import dotenv, expressions
from ..._core.errors import InputError
from ..._observe import probe
from ..preflight import host as preflight_host
from .smoke_types import Step, Upload

EVERY_STEP = {"name", "attempts", "pause", "cleanup"}
REQUEST = {"headers", "secret_headers", "status", "timeout", "key_header"}
#: Kind -> the fields that a step of it may have besides those of every step.
FIELDS: dict[str, set[str]] = {
    "url": REQUEST
    | {
        "url",
        "method",
        "body",
        "contains",
        "json",
        "max_ms",
        "upload",
        "capture",
        "repeat_until",
        "give_up_when",
        "interval",
        "limit",
        "skip_unless",
        "same_as",
        "made",
    },
    "video": REQUEST | {"video", "codecs", "min_seconds", "max_seconds", "min_bytes", "max_bytes"},
    "file": {"file", "min_bytes"},
    "program": {"program", "min_version", "version_argument"},
    "disk": {"disk", "min_free_mb", "max_used_pct"},
}
DEFAULTS: t.Mapping[str, object] = {
    "attempts": 1,
    "pause": 1.0,
    "cleanup": False,
    "key_header": "",
    "secret_headers": {},
    "body": None,
    "upload": None,
    "capture": {},
    "repeat_until": "",
    "give_up_when": "",
    "interval": 1.0,
    "limit": 60.0,
    "skip_unless": "",
    "same_as": "",
    "made": [],
    "codecs": [],
    "min_seconds": None,
    "max_seconds": None,
    "min_bytes": 1,
    "max_bytes": 200 * 10**6,
    "min_version": "",
    "version_argument": "--version",
    "min_free_mb": None,
    "max_used_pct": None,
}
#: Methods that change nothing. What is sent by another one is neither sent in check mode, nor again unless the step says so.
SAFE = ("GET", "HEAD", "OPTIONS")
_NAME = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
UPLOAD: Upload = {"field": "", "filename": "smoke-test.png", "type": "image/png", "text": None, "form": {}}


@dataclasses.dataclass
class Settings:
    """What all steps of a run share."""

    base_url: str = ""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    secret_headers: dict[str, str] = dataclasses.field(default_factory=dict)
    timeout: float = 5.0
    attempts: int = 1
    release: str = ""
    outside: bool = False
    check_mode: bool = False
    #: Where files of the application lie: the root, and part of an address -> folder below it.
    root: str = ""
    folders: dict[str, str] = dataclasses.field(default_factory=dict)
    #: Texts that no sample may show.
    secrets: tuple[str, ...] = ()


@dataclasses.dataclass
class State:
    """What the steps that are over have left: values for ``{name}``, checksums of what was uploaded, addresses of what was made."""

    values: dict[str, object] = dataclasses.field(default_factory=dict)
    uploaded: dict[str, str] = dataclasses.field(default_factory=dict)
    made: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def at_first(cls, settings: Settings) -> State:
        """What is known before the first step."""
        return cls(values={"release": settings.release} if settings.release else {})


def redactor(env_file: str, headers: t.Sequence[t.Mapping[str, object]], steps: t.Sequence[t.Mapping[str, t.Any]]) -> dotenv.Redactor:
    """Hides the values of a ``.env`` and of all secret headers, those of the steps too."""
    made = dotenv.Redactor(env_file)
    every = [*headers, *[step.get("secret_headers") or {} for step in steps]]
    words = {word for some in every for value in some.values() for word in [str(value), *str(value).split()]}
    made.add(words)
    return made


def plan(steps: t.Sequence[t.Mapping[str, t.Any]], settings: Settings, before: t.Sequence[Step] = ()) -> list[Step]:
    """The steps in full form, those of the clean-up last.

    :param before: planned steps that ran at another time; what they captured and uploaded is known.
    :raises InputError: for a mistake in one; nothing was sent then.
    """
    if not steps:
        raise InputError("suite", "a list of steps", "an empty one", "Give it steps, or look whether mobius_smoke_suite is set")
    full = [_full(number, step, settings) for number, step in enumerate(steps, 1)]
    full.sort(key=lambda step: step["cleanup"])
    names = {step["name"] for step in before}
    uploads = {step["name"] for step in before if step["upload"]}
    known = {"release"} | {name for step in before for name in step["capture"]}
    for step in full:
        if step["name"] in names:
            raise InputError(f"step {step['name']}", "a name that no other step has", "it twice", "Give it another name")
        if step["same_as"] and step["same_as"] not in uploads:
            raise InputError(
                f"step {step['name']}", "same_as with the name of an earlier step that uploads", repr(step["same_as"]), "Correct it"
            )
        names.add(step["name"])
        uploads |= {step["name"]} if step["upload"] else set()
        _require_known(step, known if not step["made"] else known | set(step["capture"]))
        known |= set(step["capture"])
    for step in full:
        step["needs"] = sorted(name for name in _used(step) if name in known and name not in step["capture"])
        step["sources"] = {name: next((one["name"] for one in [*before, *full] if name in one["capture"]), "") for name in step["needs"]}
    return full


def _full(number: int, given: t.Mapping[str, t.Any], settings: Settings) -> Step:
    """One step with every field."""
    step = {key: value for key, value in given.items() if value is not None}
    name = str(step.get("name") or "")
    what = f"step {name or number}"
    kinds = [kind for kind in FIELDS if kind in step]
    if not name or len(kinds) != 1:
        raise InputError(what, "a name and one of " + ", ".join(FIELDS), ", ".join(sorted(step)) or "nothing", "Correct it")
    [kind] = kinds
    unknown = sorted(set(step) - FIELDS[kind] - EVERY_STEP)
    if unknown:
        raise InputError(
            what, f"with {kind} only the fields " + ", ".join(sorted(FIELDS[kind] | EVERY_STEP)), ", ".join(unknown), "Correct it"
        )
    step["method"] = str(step.get("method") or ("POST" if step.get("upload") else "GET")).upper()
    safe = step["method"] in SAFE
    full = t.cast(Step, {**DEFAULTS, **({"attempts": settings.attempts} if safe else {}), **step, "kind": kind, "safe": safe})
    _require_limits(what, full)
    if kind in ("url", "video"):
        wanted = ("method", "headers", "status", "contains", "json", "timeout", "max_ms")
        fields = {key: step[key] for key in wanted if key in step}
        url = absolute(step[kind], settings.base_url)
        full["check"] = probe.normalize({"timeout": settings.timeout, **fields, "name": name, "url": url}, settings.headers)
    if full["upload"] is not None:
        full["upload"] = _upload(what, full["upload"])
    for expression in [*full["capture"].values(), full["repeat_until"], full["give_up_when"], full["skip_unless"]]:
        expressions.require(f"{what}, {expression}", expression)
    return full


def _require_limits(what: str, step: Step) -> None:
    if step["attempts"] < 1 or step["pause"] < 0 or step["interval"] <= 0 or step["limit"] <= 0:
        raise InputError(
            what,
            "1 or more attempts, a pause of 0 or more, and an interval and a limit above 0",
            f"attempts {step['attempts']:g}, pause {step['pause']:g}, interval {step['interval']:g}, limit {step['limit']:g}",
            "Correct them",
        )
    if step["kind"] == "disk" and step["min_free_mb"] is None and step["max_used_pct"] is None:
        raise InputError(what, "min_free_mb or max_used_pct", "neither", "Give one of them")
    if step["min_version"] and not preflight_host.version(step["min_version"]):
        raise InputError(what, "a min_version such as 18.0", repr(step["min_version"]), "Correct it")


def _upload(what: str, given: t.Mapping[str, t.Any]) -> Upload:
    upload: dict[str, object] = {**UPLOAD, **{key: value for key, value in given.items() if value is not None}}
    if set(upload) != set(UPLOAD) or not upload["field"]:
        raise InputError(
            what, "an upload with field and, where wanted, filename, type, text and form", ", ".join(sorted(given)), "Correct it"
        )
    return t.cast(Upload, upload)


def _require_known(step: Step, known: set[str]) -> None:
    """In an address a name in braces is always meant to be filled."""
    used = set(_NAME.findall(" ".join([str(step.get("url") or step.get("video") or step.get("file") or ""), *step["made"]])))
    if used - known:
        raise InputError(
            f"step {step['name']}",
            "names in braces that an earlier step captures",
            ", ".join(sorted(used - known)),
            "Correct the name, or capture it before",
        )


def _texts(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _used(step: Step) -> set[str]:
    """Names in braces in all that is filled."""
    told = [
        step.get("check", {}),
        step.get("file"),
        step["body"],
        step["repeat_until"],
        step["give_up_when"],
        step["made"],
        step["upload"] or {},
        step["secret_headers"],
    ]
    return {name for text in _texts(told) for name in _NAME.findall(text)}


def absolute(url: str, base_url: str) -> str:
    """The address of a step; one without a scheme is below the base."""
    return url if url.startswith(("http://", "https://")) or not base_url else base_url.rstrip("/") + "/" + url.lstrip("/")


def fill(value: t.Any, values: t.Mapping[str, object], quoted: bool = False) -> t.Any:
    """A text or a structure with ``{name}`` replaced by what is known.

    A text that is nothing but one name becomes the value itself, so that a number stays one.

    :param quoted: whether it stands in the quotes of a JMESPath expression.
    :raises InputError: when such quotes cannot hold a value.
    """
    if isinstance(value, dict):
        return {key: fill(item, values, quoted) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, values, quoted) for item in value]
    if not isinstance(value, str):
        return value
    alone = _NAME.fullmatch(value)
    if alone and alone.group(1) in values and not quoted:
        return values[alone.group(1)]

    def known(match: re.Match[str]) -> str:
        found = values.get(match.group(1), match.group())
        text = found if isinstance(found, str) else json.dumps(found)
        if quoted and match.group(1) in values and "\\" in text:
            raise InputError(match.group(), "a value without a backslash for an expression", "one with it", "Compare something else")
        return text.replace("'", "\\'") if quoted and match.group(1) in values else text

    return _NAME.sub(known, value)


def why_not(step: Step, state: State, settings: Settings) -> str:
    """Why a step cannot run now; empty when it can."""
    missing = [name for name in step["needs"] if name not in state.values]
    if missing:
        sources = {name: step["sources"][name] for name in missing}
        return "; ".join(
            f"it needs {{{name}}}, which " + (f"{source!r} did not give" if source else "is not known: give root or release")
            for name, source in sources.items()
        )
    if step["same_as"] and step["same_as"] not in state.uploaded:
        return f"{step['same_as']!r} uploaded nothing to compare with"
    if step["kind"] in ("url", "video") and not step["safe"] and settings.check_mode:
        return f"check mode sends no {step['method']}"
    if step["kind"] in ("file", "program", "disk") and settings.outside:
        return "the tests run outside of the host"
    if step["kind"] == "file" and not settings.root:
        return "no root was given"
    return ""
