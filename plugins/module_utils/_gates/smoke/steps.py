# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a smoke suite at work: an HTTP request with what hangs on it, a video, a file, a program's version, disk space."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import typing as t

from ..._core import commands, documents, expressions, wording
from ..._core.errors import OpsError
from ..._observe import probe
from ..._observe.exchange import Digest, Exchange, Limited, png
from ..._observe.http import library as http_library
from ..._target.record_types import Check
from ..preflight import host as preflight_host
from . import made_files, suite
from .smoke_types import Attempt, Step, Video
from .suite import Settings, State

FFPROBE = "ffprobe"
#: Seconds that ffprobe has to decode a video.
PATIENCE = 120.0


def sample(name: str, outcome: str, kind: str = "", error: str = "", found: str = "") -> Attempt:
    """An attempt of a step that is no HTTP request, in the form of a probe's sample."""
    return {"check": name, "outcome": outcome, "kind": kind, "status": None, "ms": None, "error": error, "evidence": "", "found": found}


def failed(one: Attempt, kind: str, error: str, evidence: str = "") -> Attempt:
    """The sample as one whose answer was not what it should be."""
    return {**one, "outcome": "failed", "kind": kind, "error": error, "evidence": evidence}


def _request(step: Step, state: State, settings: Settings) -> tuple[Check, t.Any, bytes]:
    """The check with all names filled, the body to send when it is a form, and the file in it."""
    values, check = state.values, step["check"]
    url = suite.absolute(str(suite.fill(str(step["video"] if step["kind"] == "video" else step["url"]), values)), settings.base_url)
    own = settings.base_url and url.startswith(settings.base_url.rstrip("/") + "/")
    headers = {**check["headers"], **(settings.secret_headers if own else {}), **suite.fill(step["secret_headers"], values)}
    body = suite.fill(step["body"], values)
    if isinstance(body, (dict, list)):
        headers = {"Content-Type": "application/json", **headers}
        body = json.dumps(body)
    content, file = None, b""
    if step["upload"]:
        filled = suite.fill(step["upload"], values)
        form = {name: value if name == "form" or value is None else str(value) for name, value in filled.items()}
        file = png() if form["text"] is None else form["text"].encode("utf-8")
        files = {form["field"]: (form["filename"], file, form["type"])}
        ready = http_library.required().requests.Request("POST", url, files=files, data=form["form"]).prepare()
        content, headers = ready.body, {**headers, "Content-Type": ready.headers["Content-Type"]}
    (check,) = probe.hiding([check], settings.secrets)
    return (
        {
            **check,
            "url": url,
            "headers": {key: str(value) for key, value in suite.fill(headers, values).items()},
            "body": None if body is None else str(body),
            "contains": str(suite.fill(check["contains"], values)),
            "json": suite.fill(check["json"], values, quoted=True),
        },
        content,
        file,
    )


def send(step: Step, state: State, settings: Settings, http: t.Any) -> Attempt:
    """An HTTP request, repeated as long as it has to be; what it captures is in the state then."""
    check, content, file = _request(step, state, settings)
    until, give_up = (suite.fill(text, state.values, quoted=True) for text in (step["repeat_until"], step["give_up_when"]))
    deadline, count = time.monotonic() + step["limit"], 0
    while True:
        count += 1
        exchange = Exchange(http, content, Digest() if step["same_as"] else None)
        one: Attempt = {**probe.probe(check, exchange)}
        document = exchange.document()
        if one["outcome"] != "ok" or not until or expressions.search(until, document):
            break
        if give_up and expressions.search(give_up, document):
            one = failed(one, "result", f"the answer came to satisfy: {give_up}", exchange.text(check))
            break
        if time.monotonic() + step["interval"] > deadline:
            one = failed(one, "timeout", f"not within {step['limit']:g} s and {count} requests: {until}", exchange.text(check))
            break
        time.sleep(step["interval"])
    if one["status"] is not None:
        one["found"] = f"status {one['status']}, {one['ms']:.0f} ms" + (f", {count} requests" if count > 1 else "")
    one = _skip(step, one, document, check) or _keep(step, state, one, document, check)
    if one["outcome"] == "ok" and step["same_as"]:
        one = _compare(one, exchange.whole, state.uploaded[step["same_as"]])
    if one["outcome"] == "ok" and step["upload"]:
        state.uploaded[step["name"]] = hashlib.sha256(file).hexdigest()
    return one


def _skip(step: Step, one: Attempt, document: t.Any, check: Check) -> Attempt | None:
    """The sample with why the test cannot be made; ``None`` when it can."""
    key = step["key_header"]
    if key and one["status"] in (401, 403) and key.lower() not in {name.lower() for name in check["headers"]}:
        return {**one, "skip": f"status {one['status']}: no header {key} was given; set it in mobius_smoke_secret_headers"}
    if step["skip_unless"] and one["kind"] == "assertion" and not expressions.search(step["skip_unless"], document):
        return {**one, "skip": f"the answer has no {step['skip_unless']}"}
    return None


def _keep(step: Step, state: State, one: Attempt, document: t.Any, check: Check) -> Attempt:
    """Put into the state what is captured. What a failed request made all the same is noted too."""
    found = {name: expressions.search(expression, document) for name, expression in step["capture"].items()}
    known = {name: value for name, value in found.items() if value is not None}
    for text in step["made"]:
        filled = str(suite.fill(text, {**state.values, **known}))
        if filled != text and filled not in state.made:
            state.made.append(filled)
    if one["outcome"] != "ok":
        return one
    missing = [f"{name} ({step['capture'][name]})" for name in found if name not in known]
    if missing:
        return failed(one, "capture", "the answer has no " + ", ".join(missing), probe.quoted(json.dumps(document), check["secrets"]))
    state.values.update(known)
    return one


def _compare(one: Attempt, got: Digest, sha256: str) -> Attempt:
    if got.sha.hexdigest() == sha256:
        return {**one, "found": f"{one['found']}, equal bytes"}
    return failed(one, "body", f"{got.size} bytes that are not those that were uploaded")


def watch(step: Step, state: State, settings: Settings, http: t.Any) -> Attempt:
    """Fetch a video, decode all of it, and hold it against what was asked for."""
    check = _request(step, state, settings)[0]
    with tempfile.TemporaryDirectory(prefix="mobius-smoke-") as folder:
        path = os.path.join(folder, "video")
        with open(path, "wb") as stream:
            sink = Limited(stream, step["max_bytes"])
            one: Attempt = {**probe.probe(check, Exchange(http, whole=sink))}
        if sink.size > sink.limit:
            return {**failed(one, "size", f"more than {sink.limit} bytes"), "found": ""}
        if one["outcome"] != "ok":
            return _skip(step, one, None, check) or {**one, "found": ""}
        if sink.size < step["min_bytes"]:
            return {**failed(one, "size", f"{sink.size} bytes, fewer than {step['min_bytes']}"), "found": ""}
        facts, error = _decode(path)
    error = error or _unlike(step, facts)
    found = f"{', '.join(facts.get('codecs', []))}, {facts.get('seconds', 0):.1f} s, {wording.human_size(sink.size)}"
    return {**(failed(one, "video", error) if error else one), "found": found}


def _decode(path: str) -> tuple[Video, str]:
    """``codecs``, ``seconds`` and ``frames`` of a video, every frame decoded; and what is wrong with it."""
    argv = [
        FFPROBE,
        "-v",
        "error",
        "-count_frames",
        "-show_entries",
        "format=duration:stream=codec_type,codec_name,nb_read_frames",
        "-of",
        "json",
        path,
    ]
    try:
        done = commands.capture(argv, what="look at the video", timeout=PATIENCE)
        told = documents.parse(done.stdout or "{}")
    except (OpsError, ValueError) as error:
        return {}, str(error)
    if done.returncode or done.stderr.strip():
        return {}, f"it cannot be played: {commands.cause(done, lambda text: text.replace(path, 'video'))}"
    try:
        streams = told.get("streams", [])
        frames = sum(int(stream.get("nb_read_frames") or 0) for stream in streams if stream.get("codec_type") == "video")
        seconds = float(told.get("format", {}).get("duration") or 0)
    except (ValueError, TypeError, AttributeError):  # N/A, in a video that somebody made up
        return {}, "its length or its pictures cannot be told"
    return {"codecs": [str(stream.get("codec_name")) for stream in streams], "seconds": seconds}, "" if frames else "it has no picture"


def _unlike(step: Step, facts: Video) -> str:
    """What a playable video has not of what was asked for."""
    missing = [codec for codec in step["codecs"] if codec not in facts["codecs"]]
    if missing:
        return f"the codecs are {', '.join(facts['codecs'])}, without {', '.join(missing)}"
    least, most = step["min_seconds"], step["max_seconds"]
    if (least is not None and facts["seconds"] < least) or (most is not None and facts["seconds"] > most):
        return f"it lasts {facts['seconds']:.2f} s instead of {least or 0:g} to {'any' if most is None else f'{most:g}'} s"
    return ""


def look(step: Step, state: State, settings: Settings, _http: t.Any) -> Attempt:
    """A file on the host, by the name that an answer gave it."""
    try:
        size = made_files.size(str(suite.fill(step["file"], state.values)), settings.root, settings.folders)
    except made_files.Stays as error:
        return sample(step["name"], "failed", "file", str(error))
    if size < step["min_bytes"]:
        return sample(step["name"], "failed", "size", f"{size} bytes, fewer than {step['min_bytes']}")
    return sample(step["name"], "ok", found=wording.human_size(size))


def version(step: Step, *_others: t.Any) -> Attempt:
    """A program's version."""
    row = preflight_host.program(step["program"], step["version_argument"], step["min_version"])
    good = row["status"] == "passed"
    return sample(
        step["name"],
        "ok" if good else "failed",
        "" if good else "program",
        "" if good else f"{row['found']} instead of {row['expected']}",
        row["found"],
    )


def space(step: Step, *_others: t.Any) -> Attempt:
    """Free space of a file system, as ``df`` counts it."""
    try:
        usage = shutil.disk_usage(step["disk"])
    except OSError as error:
        return sample(step["name"], "failed", "disk", f"{step['disk']}: {error.strerror}")
    percent = 100.0 * usage.used / max(1, usage.used + usage.free)
    found = f"{wording.human_size(usage.free)} free, {percent:.0f} % used"
    errors = []
    if step["min_free_mb"] is not None and usage.free < step["min_free_mb"] * 10**6:
        errors.append(f"less than {step['min_free_mb']:.0f} MB free")
    if step["max_used_pct"] is not None and percent > step["max_used_pct"]:
        errors.append(f"more than {step['max_used_pct']:g} % used")
    if errors:
        return sample(step["name"], "failed", "disk", f"{found}: {', '.join(errors)}", found)
    return sample(step["name"], "ok", found=found)


KINDS: dict[str, t.Callable[..., Attempt]] = {"url": send, "video": watch, "file": look, "program": version, "disk": space}
