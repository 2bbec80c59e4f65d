# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build an artifact, and show a long build while it runs; documented as the module C(release_artifact).

The module writes what it does into a file on this machine, and a thread shows it. So the build stays a child of this run and ends with it.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
import threading
import time
import types
import typing as t

from ansible import constants as C
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.mobius.ops.plugins.module_utils._core import interrupt
from ansible_collections.mobius.ops.plugins.module_utils._deploy import build_output
from ansible_collections.mobius.ops.plugins.plugin_utils.progress_lines import pause, span

display = Display()
#: Seconds that a build may take before it is shown, and between two looks at what it wrote.
QUIET, LOOK = 5.0, 0.2
#: Seconds that the end of a worker waits for a line that is being shown.
PATIENCE = 2.0


class Answer(t.TypedDict, total=False):
    """What of the module's answer is read here."""

    invocation: dict[str, object] | None


class Live:
    """Shows the record of a build: nothing for ``QUIET`` seconds, then each line, and at times how long a phase has been silent.

    :param show: takes a line.
    :param clock: seconds that only grow.
    """

    def __init__(self, path: str, show: t.Callable[[str], None], clock: t.Callable[[], float] = time.monotonic) -> None:
        self._path, self._show, self._clock = path, show, clock
        self._began = self._since = self._said = clock()
        self._at, self._rest, self._phase = 0, b"", ""
        self._waiting: list[str] = []

    def look(self) -> None:
        """Show what was written since the last look."""
        now = self._clock()
        for kind, text in self._new():
            if kind == "phase":
                self._phase, self._since = text, now
            self._waiting.append(f"{text} …" if kind == "phase" else f"| {text}")
        if now - self._began < QUIET:
            return
        if self._waiting:
            self._said = now
        elif self._phase and now - self._said >= pause(now - self._began):
            self._waiting, self._said = [f"{self._phase}, for {span(now - self._since)}"], now
        for line in self._waiting:
            self._show(line)
        self._waiting = []

    def _new(self) -> list[tuple[str, str]]:
        """The entries of whole lines that were added to the record."""
        with contextlib.suppress(OSError), open(self._path, "rb") as stream:
            stream.seek(self._at)
            content = stream.read()
            self._at += len(content)
            whole, newline, self._rest = (self._rest + content).rpartition(b"\n")
            return list(build_output.entries((whole + newline).decode("ascii", "replace")))
        return []


@contextlib.contextmanager
def _not_while(showing: threading.Lock) -> t.Iterator[None]:
    """Let a signal that ends this worker wait until a line is shown.

    The line goes to the playbook through a queue that is locked meanwhile. A worker that ends with that lock makes the playbook hang.
    """

    def wait(handler: t.Callable[[int, types.FrameType | None], object]) -> t.Callable[[int, types.FrameType | None], None]:
        def handle(number: int, frame: types.FrameType | None) -> None:
            shown = showing.acquire(timeout=PATIENCE)
            try:
                handler(number, frame)
            finally:
                if shown:
                    showing.release()

        return handle

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with interrupt.handling({number: wait(handler) for number, handler in handlers.items() if callable(handler)}):
        yield


class ActionModule(ActionBase):
    """Run the module and show its build."""

    _requires_connection = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: t.Mapping[str, object] | None = None) -> Answer:
        """Show the build when it runs on this machine; its result without the values of the build's environment."""
        super().run(tmp, task_vars)
        args = {name: value for name, value in self._task.args.items() if name != "output_file"}
        if self._task.async_val or getattr(self._connection, "transport", "") != "local":
            return self._plain(self._module(args, task_vars, bool(self._task.async_val and not self._connection.has_native_async)))
        with tempfile.NamedTemporaryFile(prefix="mobius-output-", dir=C.DEFAULT_LOCAL_TMP) as record, self._shown(record.name):
            return self._plain(self._module({**args, "output_file": record.name}, task_vars))

    def _module(self, args: t.Mapping[str, object], task_vars: t.Mapping[str, object] | None, wrap_async: bool = False) -> Answer:
        return self._execute_module(module_name="mobius.ops.release_artifact", module_args=args, task_vars=task_vars, wrap_async=wrap_async)

    @contextlib.contextmanager
    def _shown(self, path: str) -> t.Iterator[None]:
        ended, showing = threading.Event(), threading.Lock()
        live = Live(path, lambda line: display.display(f"[build] {line}"))

        def look() -> None:
            with showing:
                live.look()

        def follow() -> None:
            # A signal that the kernel gives to this thread would not wake the main one, which waits for the module and has to end it.
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            while not ended.wait(LOOK):
                look()
            look()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            with _not_while(showing):
                yield
        finally:
            ended.set()
            thread.join()

    def _plain(self, answer: Answer) -> Answer:
        """The result as the module gives it, with the names of the build's variables only."""
        given = (answer.get("invocation") or {}).get("module_args")
        if isinstance(given, dict):
            given["output_file"] = None
            if isinstance(given.get("environment"), dict):
                given["environment"] = dict.fromkeys(given["environment"], "VALUE_NOT_SHOWN")
        return answer
