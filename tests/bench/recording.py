"""`make recording`: deploys on one host and on ten, on this machine, recorded as pictures for the README.

Each line of a picture appears when it was printed, three times as fast, unless the reader's system asks for less motion. The
folder of the hosts is shown as ``/opt``, the home folder as ``~``.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import subprocess
import tempfile
import termios
import time
from pathlib import Path

import measure
from deploys import ROOT, Fleet, end_all, make_source
from rich.console import Console
from rich.text import Text

#: Columns of the terminal; how many times faster than it was.
WIDTH, FASTER = 150, 3
#: What a person watches: rounds of checks for a while.
SETTINGS = {"mobius_watch_duration": "20", "mobius_watch_interval": "2"}
SHOWN = "ansible-playbook -i {folder}/hosts.yml mobius.ops.deploy -e mobius_release_source={source} -e mobius_version=v2"
Line = tuple[float, str]


def recorded(command: list[str], environment: dict[str, str]) -> list[Line]:
    """Runs a command in a terminal; each line with the seconds after the start.

    :raises measure.Failed: when its exit status is not 0.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    lines: list[Line] = []
    with open(ours, encoding="utf-8", errors="replace", newline="\n") as screen:
        try:
            for line in screen:
                lines.append((time.monotonic() - began, line.rstrip("\r\n")))
        except OSError:  # the terminal is closed: the command has ended
            pass
    if process.wait():
        raise measure.Failed(f"the deploy ended with {process.returncode}:\n" + "\n".join(line for _when, line in lines[-40:]))
    return lines


def picture(title: str, lines: list[Line]) -> str:
    """The lines as an SVG in which each one appears at its time."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False)
    times = []
    for when, line in [*lines, (lines[-1][0], "")]:
        rows = Text.from_ansi(line).wrap(console, WIDTH)
        console.print(rows, sep="\n")
        times += [when] * max(1, len(rows))
    drawn = console.export_svg(title=title, unique_id="deploy")
    # a web font would be fetched from a foreign server, and an image may not fetch anything
    drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL).replace("Fira Code,", "")
    drawn = re.sub(
        r"clip-path=\"url\(#deploy-line-(\d+)\)\"",
        lambda found: f'{found[0]} style="animation-delay: {times[min(int(found[1]), len(times) - 1)] / FASTER:.1f}s"',
        drawn,
    )
    moving = (
        "@media (prefers-reduced-motion: no-preference) {"
        " .deploy-matrix text, .deploy-matrix rect { animation: appear 1ms both } @keyframes appear { from { opacity: 0 } } }"
    )
    drawn = drawn.replace("<style>", f"<style>\n    {moving}", 1)
    return "\n".join(line.rstrip() for line in drawn.splitlines() if line.strip()) + "\n"


def deploy(scratch: Path, count: int, sources: dict[str, Path]) -> list[Line]:
    """Sets hosts up with v1, and records the deploy of v2."""
    fleet = Fleet(scratch / ("mobius" if count == 1 else f"mobius-{count}"), count)
    fleet.play("deploy", mobius_release_source=str(sources["v1"]), mobius_version="v1")
    operator = fleet.operator
    operator.settings |= {**SETTINGS, "mobius_release_source": str(sources["v2"]), "mobius_version": "v2"}
    environment = {**operator.environment(), "ANSIBLE_STDOUT_CALLBACK": "mobius.ops.steps", "TERM": "xterm-256color"}
    lines = recorded(operator.command("deploy"), environment)
    shown = SHOWN.format(folder=fleet.folder, source=sources["v2"])
    return [(0.0, f"$ {shown}"), *lines]


def main() -> None:
    """Record, and write the pictures into docs."""
    scratch = Path(tempfile.mkdtemp(prefix="mobius-recording-"))
    try:
        sources = {version: make_source(scratch / f"source-{version}", version) for version in ("v1", "v2")}
        for count, name in ((1, "one host"), (10, "ten hosts")):
            print(f"recording: a deploy on {name} …", flush=True)
            lines = [
                (when, line.replace(str(scratch), "/opt").replace(str(Path.home()), "~")) for when, line in deploy(scratch, count, sources)
            ]
            drawn = picture(f"A deploy on {name}, {lines[-1][0]:.0f} s, shown {FASTER} times as fast", lines)
            (ROOT / "docs" / f"deploy-{name.replace(' ', '-')}.svg").write_text(drawn)
            print("\n".join(line for _when, line in lines), flush=True)
            end_all(str(scratch))
    finally:
        end_all(str(scratch))
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
