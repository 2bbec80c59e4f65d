# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A module's work in a process of its own, on which its callers look until it ends.

The first call forks. The child leaves the session and does the work; the parent waits a little and hands over the
child's output when it ends by then, else its record. Later calls only look. So work that is quick costs nothing more, and
a connection that breaks takes none along. Ansible's own runner of background tasks costs half a second a task, is not told
when a job was killed, and cannot be asked again for a job whose start was not answered.

Beside the record lie the child's output and errors, ``<record>.out`` and ``<record>.err``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import sys
import time
import traceback
import typing as t
from dataclasses import dataclass

from .._core import causes, documents, processes, wording
from .._core.errors import ServiceError, StateError
from .._target import progress
from .._target.record_types import Phase

#: Seconds that the call that begins the work waits for its end.
PATIENCE = 5.0
#: Seconds between two looks at work that another call began, and for how long one call looks at least.
LOOK, STAY = 0.05, 1.0
#: Room for the result that is set aside at the beginning, for a disk that is full at the end.
RESERVED = 64 * 1024
#: Seconds after which what is left of ended work, whose caller never came back, is removed.
FORGOTTEN = 7 * 86400
_NAME = re.compile(r"mobius\.ops-[0-9a-f]{16}\.json(\.out|\.err|\.tmp)?")


@dataclass(frozen=True)
class Ended:
    """What a process printed, and its exit status; below zero the signal that ended it, none when that is not known."""

    output: bytes
    errors: bytes
    status: int | None


class Job:
    """Work that has its record at *path*."""

    def __init__(self, path: str) -> None:
        self.path, self.output, self.errors = path, path + ".out", path + ".err"

    def exists(self) -> bool:
        """Whether it was begun, and nobody has removed what it left."""
        return os.path.exists(self.output)

    def begin(self) -> tuple[int, int] | None:
        """Fork. ``None`` in the child that is to do the work; in the parent the child's id and a pipe that ends with it.

        :raises OSError: when this cannot be done here; nothing was begun then.
        """
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        sweep(os.path.dirname(self.path))
        output, errors = _new_file(self.output), _new_file(self.errors)
        os.posix_fallocate(output, 0, RESERVED)
        hear, tell = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child:
            for descriptor in (output, errors, tell):
                os.close(descriptor)
            os.read(hear, 1)
            return child, hear
        os.setsid()
        with open(os.devnull, "rb") as nothing:
            for number, descriptor in enumerate((nothing.fileno(), output, errors)):
                os.dup2(descriptor, number)
        progress.Recorder(self.path)
        os.write(tell, b".")
        return None

    def wait(self, child: int, hear: int, patience: float) -> Ended | None:
        """The end of our own child, or ``None`` when it goes on after *patience* seconds, and has a record to find it by."""
        if not select.select([hear], [], [], patience if os.path.exists(self.path) else None)[0]:
            return None
        return self._ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def look(self, patience: float) -> Ended | None:
        """The end of work that another call began, or ``None`` when it goes on after *patience* seconds, or is in its next phase.

        :raises StateError: when there is no such work.
        """
        record = progress.read(self.path)
        if record is None:
            raise StateError(
                "the work in the background",
                f"its record {self.path}",
                "none",
                "Look what came of it: mobius.ops.backup_info and the history on the target tell",
            )
        begin, phase = time.monotonic(), self.phases()[-1]["number"]
        while processes.is_alive(record["pid"], record["ticks"]):
            waited = time.monotonic() - begin
            if waited >= patience or (waited >= STAY and self.phases()[-1]["number"] != phase):
                return None
            time.sleep(min(LOOK, patience))
        return self._ended(None)

    def phases(self) -> list[Phase]:
        """The phases by the record, the last one goes on; at least one."""
        found = progress.read(self.path)
        return found["phases"] if found and found["phases"] else [{"number": 0}]

    def remove(self) -> None:
        """Leave no trace."""
        for path in (self.path, self.output, self.errors, self.path + ".tmp"):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _ended(self, status: int | None) -> Ended:
        return Ended(_content(self.output), _content(self.errors), status)


def _new_file(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _content(path: str) -> bytes:
    """A file's content without the room that was set aside."""
    try:
        with open(path, "rb") as stream:
            return stream.read().rstrip(b"\0")
    except FileNotFoundError:
        return b""


def sweep(folder: str) -> None:
    """Remove what is left of work that ended long ago."""
    for name in os.listdir(folder):
        match = _NAME.fullmatch(name)
        if match:
            path = os.path.join(folder, name)
            record = progress.read(path[:-4] if match.group(1) else path)
            pid, ticks = (record["pid"], record["ticks"]) if record else (None, None)
            with contextlib.suppress(FileNotFoundError):
                if time.time() - os.stat(path).st_mtime > FORGOTTEN and not processes.is_alive(pid, ticks):
                    os.unlink(path)


def step_aside(module: t.Any) -> None:
    """Have a module's work done in the background, or look how it goes on; returns only in the process that does it.

    :param module: an ``AnsibleModule`` with the options ``progress_file`` and ``progress_wait``.
    """
    job, patience = Job(module.params["progress_file"]), module.params["progress_wait"]
    if patience is not None or job.exists():
        _look(module, job, PATIENCE if patience is None else patience)
    try:
        begun = job.begin()
    except OSError:  # no place for its record: then as if none was asked for
        job.remove()
        module.params["progress_file"] = None
        return
    if not begun:
        return
    try:
        _stay(module, job, job.wait(*begun, PATIENCE))
    except SystemExit as leaving:
        sys.stdout.flush()
        os._exit(leaving.code if isinstance(leaving.code, int) else 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)  # the child still needs the module's files, which an orderly end of this process would remove


def _stay(module: t.Any, job: Job, ended: Ended | None) -> t.NoReturn:
    """Leave the call that began the work: as if there had been no background when the work has ended, else with how far it is.

    Nothing may be imported here: when the child ends, the module's files are gone. It has not removed them when it was killed.
    """
    if ended is None:
        sys.stdout.write("\n" + json.dumps({"changed": False, "background": {"record": job.path, "phases": job.phases()}}) + "\n")
        raise SystemExit(0)
    killed = _killed(job, ended)
    if killed:
        job.remove()
        module.fail_json(msg=wording.clean(str(killed)))
    for stream, content in ((sys.stdout, ended.output), (sys.stderr, ended.errors)):
        stream.buffer.write(content)
        stream.buffer.flush()
    job.remove()  # not before somebody has it
    raise SystemExit(ended.status)


def _look(module: t.Any, job: Job, patience: float) -> t.NoReturn:
    """Leave a call that only looks. Its answer always has ``background``, so that it cannot be mistaken for one that could not look."""
    try:
        ended = job.look(patience)
    except StateError as error:
        module.fail_json(msg=str(error), background={"ended": True, "phases": job.phases()})
        raise  # it has left by now
    about: dict[str, object] = {"record": job.path, "phases": job.phases()}
    if ended is None:
        module.exit_json(changed=False, background=about)
        raise SystemExit(0)
    about["ended"] = True
    killed = _killed(job, ended)
    if killed:
        module.fail_json(msg=wording.clean(str(killed)), background=about)
    try:
        result = documents.parse(ended.output)
    except ValueError:
        output, errors = (wording.clean(text.decode("utf-8", "replace").strip()) for text in (ended.output, ended.errors))
        module.fail_json(
            msg=f"The module failed in the background: {causes.cause(errors, output)}",
            module_stdout=output,
            module_stderr=errors,
            background=about,
        )
    sys.stdout.write("\n" + json.dumps({**result, "background": about}) + "\n")
    raise SystemExit(int(bool(result.get("failed"))))


def _killed(job: Job, ended: Ended) -> ServiceError | None:
    """The error that says that work ended before its end, if it did: without a result and without a word why."""
    if ended.output or b"Traceback" in ended.errors:
        return None
    how = "its process is gone" if ended.status is None else f"it was ended by {processes.exit_text(ended.status)}"
    phase, said = job.phases()[-1].get("name"), causes.cause(ended.errors.decode("utf-8", "replace"))
    return ServiceError(
        f"the work in the background{f', {phase}' if phase else ''}",
        "that it leaves a result",
        f"that {how}{f', its last words: {said}' if said else ''}",
        "Look who ended it (journalctl -k tells of a process that took too much memory) and run this again",
    )
