# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One deployer at a time: the lock of a root, in ``state/lock``.

Every look with what follows from it is one step, under a kernel lock on a file beside the record (``guard``) that a killed
process cannot leave behind. So a lock that was renewed after somebody looked cannot be reclaimed.

Age is counted by the kernel's clock since boot, which nobody sets: a wall clock that jumps changes nothing. After a reboot
the time since boot counts, which is less than the true age: late is safe, early is not.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import typing as t
import uuid

from .._core import clock, fs, locks, processes
from .._core.errors import InputError, IntegrityError, StateError
from . import history, records
from .layout import Layout
from .record_types import Lock

#: Seconds between two looks of who waits, and until a guard that does not come free is told.
PAUSE, PATIENCE = 0.5, 30.0
_INSIDE = ("expiry", "boot", "at")
_UNLOCK = "ansible-playbook mobius.ops.force_unlock -e mobius_why=REASON"


def boot_id() -> str:
    """The name of the kernel's current run."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()


def uptime() -> float:
    """Seconds since boot, suspension included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def process_name(pid: int) -> str:
    """A name of a process that no other one has: kernel run, process namespace, user, id and start time."""
    return f"{boot_id()}/{os.readlink('/proc/self/ns/pid')}/{os.getuid()}/{pid}/{processes.start_ticks(pid)}"


def is_gone(name: str) -> bool:
    """Whether a process of :func:`process_name` has ended for sure. Of another machine, namespace or user it cannot be told."""
    pid, ticks = ([""] * 2 + name.split("/"))[-2:]
    own = process_name(os.getpid()).rsplit("/", 2)[0]
    return name.rsplit("/", 2)[0] == own and pid.isdigit() and ticks.isdigit() and not processes.is_alive(int(pid), int(ticks))


class _Wish(t.TypedDict):
    owner: str
    reason: str
    env: str
    host: str
    process: str
    expiry: float


class Wish(_Wish, total=False):
    """Who wants the lock, for ``expiry`` seconds, and the tokens of a lock that is to be renewed, or whose process has gone."""

    token: str | None
    gone: str | None


class Shown(t.TypedDict, total=False):
    """The lock as results show it, or only ``fault`` when its record is damaged."""

    fault: str
    owner: str
    reason: str
    env: str
    host: str
    process: str
    since: str
    heartbeat: str
    expires: str
    token: str
    expired: bool


class _Held(t.TypedDict):
    lock: Shown
    changed: bool
    reclaimed: Shown | None
    warnings: list[str]


class Held(_Held, total=False):
    """The result of taking the lock; ``waited`` in seconds."""

    waited: float


class DeployLock:
    """The lock of one root."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.folder = layout.path("state", "lock")
        self.path = os.path.join(self.folder, "deploy.json")

    def look(self) -> Shown | None:
        """Who holds it, with ``expired``; ``None`` when nobody does. A record that is damaged has only ``fault``."""
        try:
            record = self._read()
        except IntegrityError as error:
            return {"fault": str(error)}
        return self._shown(record) if record else None

    def hold(self, wish: Wish, wait: float = 0) -> Held:
        """Take the lock, or renew it, within *wait* seconds.

        :param wish: ``owner, reason, env, host, process, expiry`` (seconds); ``token`` of a lock that is to be renewed;
            ``gone``: the token of a lock whose process is known to have ended.
        :returns: ``lock``, ``changed``, ``reclaimed`` (facts of a stranded lock that was taken over), ``waited`` (seconds).
        :raises StateError: when somebody else holds it, or took it over meanwhile; ``facts`` has the lock.
        """
        if wish["expiry"] <= 0:
            raise InputError("expiry of the deploy lock", "seconds above 0", f"{wish['expiry']:g}", "Correct mobius_lock_expiry")
        began = time.monotonic()
        while True:
            with self._guarded():
                record = self._read()
                if self._is_free(record, wish):
                    held = self._take(record, wish)
                    held["waited"] = round(time.monotonic() - began, 1)
                    return held
            left = wait - (time.monotonic() - began)
            if left <= 0 or wish.get("token"):
                raise self._refusal(self._shown(record) if record else None, wish.get("token"))
            time.sleep(min(PAUSE, left))

    def check_hold(self, wish: Wish) -> None:
        """:raises StateError: when :meth:`hold` would be refused now. Writes nothing."""
        record = self._read()
        if not self._is_free(record, wish):
            raise self._refusal(self._shown(record) if record else None, wish.get("token"))

    def free(self, token: str) -> bool:
        """Give the lock back. Nothing happens when nobody holds it. :raises StateError: when somebody else does."""
        if self._read() is None:
            return False
        with self._guarded():
            record = self._read()
            if record and record["token"] != token:
                raise self._refusal(self._shown(record), token)
            return self._remove()

    def force(self, why: str, token: str | None = None) -> tuple[Shown | None, list[str]]:
        """Remove the lock whoever holds it, and note that in the history.

        :param token: when it is given, a lock with another token is left alone.
        :returns: the lock that was removed, and warnings.
        """
        if self.look() is None:
            return None, []
        with self._guarded():
            lock = self.look()
            self.check_force(lock, token)
            self._remove()
        return lock, self._tell("force_unlock", why, lock)

    def check_force(self, lock: Shown | None, token: str | None) -> None:
        """:raises StateError: when it is not the lock that was to be removed."""
        if lock and token and lock.get("token") != token:
            raise self._refusal(lock, token)

    def _refusal(self, lock: Shown | None, token: str | None) -> StateError:
        """Who holds the lock, why, since when, until when, and what to do."""
        expected = "to be held with the token of this run" if token else "nobody to hold it"
        if lock is None:
            found, todo = "that nobody holds it", "It expired or was removed by force. Look at mobius.ops.status, then run the same again"
        elif lock.get("fault"):
            found, todo = "a damaged record", f"Make sure that nobody deploys, then: {_UNLOCK}"
        else:
            found = f"that {self.holder(lock)}"
            todo = (
                f"Wait, for instance with mobius_lock_wait (unless it is renewed it can be taken over at {lock['expires']}), or, "
                f"when nobody works there any more: {_UNLOCK}"
            )
        return StateError(f"the deploy lock {self.folder}", expected, found, todo, {"lock": lock})

    @staticmethod
    def holder(lock: Shown) -> str:
        """``ada on laptop holds it since … for: deploy of 1.4.0``, as the middle of a sentence."""
        return f"{lock['owner']} on {lock['host']} holds it since {lock['since']} for '{lock['reason']}'"

    def _is_free(self, record: Lock | None, wish: Wish) -> bool:
        if wish.get("token"):  # to renew is not to take: who lost the lock has to know
            return record is not None and record["token"] == wish["token"]
        if record is None or self._age(record) >= record["expiry"]:
            return True
        return record["token"] == wish.get("gone") or (bool(wish["process"]) and record["process"] == wish["process"])

    def _take(self, record: Lock | None, wish: Wish) -> Held:
        mine = record is not None and (
            record["token"] == wish.get("token") or (bool(wish["process"]) and record["process"] == wish["process"])
        )
        stranded = self._shown(record) if record and not mine else None
        now = clock.iso()
        who: Lock | Wish = record if record and mine else wish
        new: Lock = {
            "owner": who["owner"],
            "reason": who["reason"],
            "env": who["env"],
            "host": who["host"],
            "process": who["process"],
            "since": record["since"] if record and mine else now,
            "token": record["token"] if record and mine else uuid.uuid4().hex,
            "heartbeat": now,
            "expires": clock.from_epoch(time.time() + wish["expiry"]),
            "expiry": wish["expiry"],
            "boot": boot_id(),
            "at": uptime(),
        }
        fs.write_json(self.path, new, 0o600)
        why = "its process had ended" if stranded and not stranded["expired"] else "it had expired"
        return {
            "lock": self._shown(new),
            "changed": True,
            "reclaimed": stranded,
            "warnings": self._tell("lock_reclaimed", why, stranded) if stranded else [],
        }

    def _tell(self, what: str, why: str, lock: Shown | None) -> list[str]:
        """Note it in the history. A full disk must not keep anybody from a lock: it is told."""
        told: Shown = lock or {}
        facts = {"owner": told.get("owner"), "reason": told.get("reason"), "host": told.get("host"), "since": told.get("since")}
        try:
            history.record(self.layout, what, why, lock=facts)
        except OSError as error:
            return [f"{self.layout.history}: {what} could not be noted: {error.strerror}."]
        return []

    @staticmethod
    def _age(record: Lock) -> float:
        """Seconds since the heartbeat, or, when the host was booted since then, since boot."""
        now = uptime()
        return now - record["at"] if record["boot"] == boot_id() and now >= record["at"] else now

    def _shown(self, record: Lock) -> Shown:
        left = record["expiry"] - self._age(record)
        shown = {name: value for name, value in record.items() if name not in _INSIDE}
        return t.cast(Shown, {**shown, "expired": left <= 0, "expires": clock.from_epoch(time.time() + left)})

    def _read(self) -> Lock | None:
        found: Lock | None = records.read(self.path, records.LOCK)
        return found

    def _remove(self) -> bool:
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return False
        fs.fsync_dir(self.folder)
        return True

    @contextlib.contextmanager
    def _guarded(self) -> t.Iterator[None]:
        """Alone with the record. What a killed writer left is removed."""
        os.makedirs(self.folder, 0o700, exist_ok=True)
        guard = os.path.join(self.folder, "guard")
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locks.locked(guard, PATIENCE, 0.005))
            except BlockingIOError as error:
                raise StateError(
                    guard,
                    "a process to look at the lock for an instant",
                    f"one that does for {PATIENCE:.0f} s",
                    "Look for a process that was stopped: fuser " + guard,
                ) from error
            for name in os.listdir(self.folder):
                if name.endswith(".tmp"):
                    os.unlink(os.path.join(self.folder, name))
            yield


def here() -> str:
    """The name of this machine."""
    return socket.gethostname()
