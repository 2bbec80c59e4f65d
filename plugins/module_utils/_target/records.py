# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one reader of the records that the collection keeps on a target, with what each of them has to be like.

A record may come from an older or a newer version, so fields that are not named here are kept as they are. A field that is named has
the named kind wherever it is, because the code that reads it relies on that. What a damaged disk or an editor made of a record is one
sentence with the file and the way out. A test damages every record in many ways and runs every module.
"""

from __future__ import annotations

import contextlib
import typing as t

from .._core import foreign, fs
from .._core.errors import IntegrityError
from .shapes import count, day, fault, histogram, moment, number, text, wide


class Kind(t.NamedTuple):
    """One kind of record."""

    what: str
    shape: t.Any
    #: What to do about a damaged one, a sentence without its full stop.
    todo: str
    #: Bytes that it may have.
    limit: int = fs.RECORD_LIMIT


MAYBE = (text, None)
_MAYBE_TIME = (moment, None)
_PROCESS = {"pid?": (count, None), "ticks?": (count, None)}

# fmt: off
RELEASE = Kind("the record of a release", {
    "id": text, "sequence": count, "status": str, "created": moment, "activated": _MAYBE_TIME, "verified": _MAYBE_TIME,
    "migration": str, "backup?": (str, None), "failed_reason?": (str, None),
    "version?": (str, None), "sha256?": (str, None), "source?": (str, None),
    "committed?": MAYBE, "migrated?": (dict, None)},
    "Move the file away: the release is unknown then, and a deploy of its version prepares it again")
CHECK = {
    "name": text, "url": text, "method?": text, "headers?": {str: text}, "body?": MAYBE, "status?": [count], "contains?": text,
    "json?": [text], "timeout?": number, "max_ms?": (number, None), "redirects?": count, "attempts?": count, "backoff?": number,
    "ca?": MAYBE, "client_cert?": MAYBE, "client_key?": MAYBE, "proxy?": MAYBE, "validate_certs?": bool, "secrets?": [text]}
BUSY = Kind("the question for running jobs", {**CHECK, "jobs": text}, "Move the file away and run the playbook mobius.ops.setup")
_PROXY = {
    "host": text, "port": count, "certificate": text, "check_port?": (count, None), "max_body": count, "max_connections": count,
    "timeout": number, "url": text, "held_routes?": [text]}
SERVICE = Kind("the definition of a service", {
    "name": text, "manager": text, "command": [text], "working_dir": text, "environment": {str: text}, "env_file": text, "port": count,
    "host": text, "user": MAYBE, "console_log": text, "stop_timeout": number, "restart_delay": number, "restart_limit": count,
    "restart_window": number, "writable": [text], "app?": MAYBE, "not_while?": MAYBE, "drain_timeout?": number, "drain_force?": bool,
    "drain_quiet?": number, "job_programs?": ([text], None), "job_id_pattern?": MAYBE, "slots?": ([count], None), "state?": text,
    "boot_unit?": MAYBE, "privileged_port?": bool, "unit?": MAYBE,
    "proxy?": (_PROXY, None)},
    "Move the file away and run the playbook mobius.ops.setup")
STATUS = Kind("what the supervisor of a service noted", {
    **_PROCESS, "state": text, "restarts?": count, "supervisor_pid?": (count, None), "supervisor_ticks?": (count, None),
    "started?": _MAYBE_TIME, "console_from?": count, "app_path?": text, "last_exit?": ({"how": MAYBE, "when": _MAYBE_TIME}, None)},
    "End the supervisor (the process of the service's user or root whose command has supervisor in it), move the file away, and run the "
    "playbook mobius.ops.restart")
STARTED = Kind("what a start of the service used", {
    "names?": [text], "settings": dict, "unit": text, "process?": ([(count, None)], None)},
    "Move the file away; a restart writes it again")
WATCH = Kind("the definition of a watch", {
    "id": text, "env": text, "root": text, "service": MAYBE, "unit?": MAYBE, "checks": [CHECK], "log_file": text, "metrics_file": text,
    "auto_rollback": bool, "duration": number, "interval": number, "retry_interval": number, "initial_delay?": number,
    "ready_timeout?": number, "failure_threshold": count, "keep?": count, "requests?": count, "drain_timeout?": number,
    "thresholds?": (dict, None), "metrics_interval?": number, "error_threshold?": count, "restart_limit?": count,
    "error_rate_pct?": number, "latency_pct?": number, "latency_floor_ms?": number, "window_failures?": count, "window_rounds?": count,
    "memory_mb?": number, "recovery_threshold?": count, "fleet?": MAYBE},
    "Move the folder of this watch away, and start another one with mobius.ops.monitor")
WATCHED = Kind("the state of a watch", {
    "status": text, "pid": count, "ticks": (count, None), "started?": moment, "release?": MAYBE, "verdict?": MAYBE, "trigger?": str,
    "rounds?": (count, None), "recent?": [dict], "incident?": MAYBE, "rollback?": (dict, None), "left": number,
    "samples?": ({str: (number, text, None)}, None),
    "decision?": dict, "rolling_back?": text, "decided?": text, "resumed?": count, "times?": (dict, list), "baseline?": (dict, None),
    "latency?": (dict, None), "write_attempts?": (list, None),
    "new_errors?": ([{"template": str, "count": count, "first": str}], None)},
    "Move the folder of this watch away, and start another one with mobius.ops.monitor")
#: The same of a watch that goes on.
RESUMED = WATCHED._replace(shape={
    **WATCHED.shape, "status": text, "started": moment, "release": MAYBE, "trigger": str, "rounds": count, "recent": [dict],
    "incident": MAYBE, "left": number, "samples": dict.fromkeys(("ok", "slow", "partial", "failed", "error", "no_data"), count),
    "decision": {"requests": count, "failed_requests": count, "alarmed": bool, "has_alarmed": bool},
    "rolling_back": text, "decided": text, "resumed": count, "times": histogram})
BASELINE = Kind("how fast the application answered before a deploy", {
    "release?": MAYBE, "when": moment, "checks": {str: [number]}}, "Move the file away; the next deploy measures again")
DEPENDENCIES = Kind("the record of installed dependencies", {"runtime": text, "native": text, "addon": text},
                    "Move the file away; the dependencies are then not compared with Node")
LOCK = Kind("the record of a deploy lock", {
    **dict.fromkeys(("owner", "reason", "env", "host", "process", "since", "heartbeat", "expires", "token", "boot"), text),
    "expiry": number, "at": number},
    "Make sure that nobody deploys, then: ansible-playbook mobius.ops.force_unlock -e mobius_why=REASON")
SHARED = Kind("the list of folders that all releases share", [
    {"path": text, "component": text, "folder?": MAYBE, "create?": ([text], None)}],
    "Move the file away and run the playbook mobius.ops.setup")
EXTERNAL = Kind("the commands for state that is kept elsewhere", {
    "dump": [text], "restore": [text], "drill": [text], "timeout": number, "max_mb": count, "service": text, "stateless": bool},
    "Move the file away and run the playbook mobius.ops.setup")
CANARY = Kind("what a canary left", {
    "created": moment, "release?": MAYBE, "values": dict, "uploaded": {str: text}},
    "Move the file away; the next smoke test after a deploy leaves another one")
DRILL = Kind("the note of a drill", {"scratch": text},
             "Remove folders whose name begins with .drill- beside the root, and this file, when no drill runs")
SWAP = {"component": text, "target": text, "work": text, "mounted": bool, "existed": bool, "old": [text], "new": [text], "before": dict}
_BEGUN = {
    "archive": text, "env": text, "components": [text], "service": MAYBE, "wanted": bool, "previous?": MAYBE, "target?": MAYBE,
    "sign_key?": MAYBE, "made?": MAYBE, "keep?": bool, "external?": object}
#: A mount point with many entries makes a large one.
JOURNAL = Kind("the journal of a restore", {**_BEGUN, "safety?": dict, "since?": int, "swaps?": [SWAP]},
               "Run the playbook mobius.ops.restore: it mends what can be mended", 256 * 1024**2)
#: The same once folders have begun to change places.
SWAPPING = JOURNAL._replace(shape={**_BEGUN, "safety": dict, "since": int, "swaps": [SWAP]})
SWITCH = Kind("the intent of a switch", {
    "kind": text, "from": MAYBE, "to": text, "why": text, "by": text, "since": moment, "service": MAYBE, "history": count},
    "Choose the release that is to serve: ansible-playbook mobius.ops.rollback -e mobius_release_id=ID replaces the file, as a deploy does")
TENANT = Kind("the environment of this root", {"env": text}, "Remove the file and run mobius.ops.setup")
ASSETS = Kind("the list of the client's files of a release", [text], "Move the file away; it is made again", 16 * 1024**2)
_COUNTS = {str: count}
LOGS = Kind("how far the logs were read", {
    "version": count, "slow_ms": number, "cursors": {str: text}, "marks": [{
        **dict.fromkeys(("device", "inode", "offset", "head_size", "size"), count), "head": text, "tail": text, "changed": number}],
    "totals": {str: {str: {
        "lines": count, "looked": count, "malformed": count, "failures": _COUNTS, "writes": _COUNTS, "clients": _COUNTS,
        "slowest": [list], "slots": {str: [count]}, "routes": {str: {"seen": count, "slow": count, "times": _COUNTS}},
        "groups": {str: {"count": count, "first": (number, None), "last": (number, None), "slots": text, "sample": text}}}}}},
    "Move the file away; the logs are then read from their beginning", 64 * 1024**2)
CLEANED = Kind("the record of a clean-up", {
    "run": text, "when": moment, "quarantine": text, "entries": [{
        "name": text, "component": text, "path": text, "kind": text, "size": count, "mtime_ns": wide, "sha256": text, "archive": text}]},
    "Its files are in the folder quarantine, by number. Move the file away when none of them is needed", 256 * 1024**2)
_BY = {"when": moment, "who?": str, "why?": str}
INCIDENT = Kind("an incident", {
    "evidence?": (dict, None), "acknowledged?": (_BY, None), "cause?": MAYBE, "fleet?": MAYBE, "rollback?": _MAYBE_TIME, "events?": [{
        **_BY, "what": text, "title?": str, "summary?": str, "affected?": str, "done?": str, "severity?": count, "level?": count,
        "channels?": [text], "reached?": [text], "itself?": bool}]},
    "Move the file away")
SCHEDULE = Kind("the schedule of a host", {
    "env": text, "service": text, "code": text, "jobs": {str: {
        "calendar": text, "period": (number, None), "since": moment, "options": dict}}},
    "Move the file away and run the playbook mobius.ops.schedule")
RUN = Kind("the last run of a job", {
    "job": text, "began": moment, "ended?": _MAYBE_TIME, **_PROCESS, "outcome?": str, "message?": str, "good?": (bool, None),
    "seconds?": (number, None), "status?": (count, None), "last_good?": _MAYBE_TIME, "incident?": MAYBE},
    "Move the file away; the next run writes it again")
LOOKED = Kind("what the last look at a host found", {
    "sampled": _MAYBE_TIME, "seen": {str: moment}},
    "Move the file away; the next look writes it again")
NOTIFY = Kind("the settings for messages", {
    "contacts": dict, "oncall": dict, "escalation": dict, "since": moment, "env": text, "host": text, "link": text, "urls_file": text,
    "runbook?": text},
    "Move the file away and run the playbook mobius.ops.setup")
URLS = Kind("the URLs of channels", {str: text}, "Correct the file, or run the playbook mobius.ops.setup")
PAGED = Kind("the levels of an incident that were paged", {"levels": {str: {"due": moment, "channels": [text]}}},
             "Move the file away: the levels are paged again")
MESSAGE = Kind("a message of the outbox", {
    "incident": text, "level": count, "channel": text, "key": text, "due": moment, "created": moment, "status": text, "attempts": count,
    "next": moment, "sent?": _MAYBE_TIME, "error?": MAYBE, "fallback_of?": MAYBE, "title?": MAYBE, "body?": MAYBE},
    "Move the file away: the message is made again while its incident is open")
MAINTENANCE = Kind("what maintenance found in its last runs", {
    "runs": {str: moment},
    "steps": {str: {"when": moment, "status": text, "seen": [text], "figures": {str: [{"when": moment, "value": number}]}}},
    "samples": [{"day": day, "mount": text, "used": count, "size": count}]},
    "Move the file away: trends then begin with the next run")
RESPONSES = Kind("the list of responses to alerts", [{
    "when": moment, "alert": text, "cause": text, "actions": [text], "outcome": text, "incident?": MAYBE}],
    "Move the file away: the actions of the last hour no longer count then")
#: How far work in the background is.
PROGRESS = {"pid": count, "ticks": (count, None), "phases": [{
    "number": count, "name?": text, "bytes?": number, "files?": number, "total_bytes?": number, "total_files?": number,
    "seconds?": number}]}
#: What events may have beside when, who, what and why.
EVENT = {"when": moment, "what": str, "who?": str, "why?": str, **dict.fromkeys((
    "release?", "previous?", "verdict?", "incident?", "archive?", "safety_backup?", "log_file?", "metrics_file?", "watch?", "report?",
    "committed?", "sha256?", "migration?"), (str, None))}

# fmt: on


def read(path: str, kind: Kind) -> t.Any:
    """A record's value, or ``None`` when there is no such file. :raises IntegrityError: when it is damaged."""
    try:
        value = fs.read_json(path, kind.limit)
    except IntegrityError as error:
        raise IntegrityError(path, kind.what, error.found, kind.todo) from error
    wrong = "" if value is None else fault(value, kind.shape)
    if wrong:
        raise IntegrityError(path, kind.what, wrong, kind.todo)
    return value


def lines(path: str, after: int = 0) -> t.Iterator[bytes]:
    """The lines of a file of records, oldest first, without those that are too long; none when there is no file.

    :param after: bytes at the beginning to leave out.
    """
    with contextlib.suppress(OSError), open(path, "rb", opener=foreign.regular) as stream:
        stream.seek(after)
        while True:
            line = stream.readline(fs.RECORD_LIMIT)
            if not line:
                return
            if len(line) < fs.RECORD_LIMIT:
                yield line
            while line and not line.endswith(b"\n"):
                line = stream.readline(fs.RECORD_LIMIT)


class Findings:
    """What is damaged, for those who tell how a host is and must go on."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def without(self, look: t.Callable[[], t.Any], otherwise: t.Any) -> t.Any:
        """What a look finds; something else where a record that it needs is damaged."""
        try:
            return look()
        except IntegrityError as error:
            self.add(error)
            return otherwise

    def add(self, error: IntegrityError) -> None:
        """Note a damaged record, once."""
        if str(error) not in self.told:
            self.told.append(str(error))
