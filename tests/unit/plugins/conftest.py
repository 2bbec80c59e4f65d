# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures of the module tests: run a module's real ``main()``, and compare whole trees."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import itertools
import json
import os
import pathlib
import sqlite3
import stat
import subprocess
import typing as t
from unittest import mock

import pytest
from ansible.module_utils import basic
from support import module_args
from support import renders as support_renders

from ansible_collections.mobius.ops.plugins.module_utils._backup import signature
from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._target.layout import Layout
from ansible_collections.mobius.ops.plugins.modules import backup, backup_info, backup_restore


def _run_module(module: t.Any, args: dict[str, t.Any], check: bool = False, diff: bool = True) -> dict[str, t.Any]:
    arguments = {**args, "_ansible_check_mode": check, "_ansible_diff": diff}
    output, said = io.StringIO(), []
    with (
        module_args.given(arguments),
        contextlib.redirect_stdout(output),
        pytest.raises(SystemExit) as ended,
        mock.patch.object(basic.AnsibleModule, "warn", lambda _module, text: said.append(text)),
    ):
        module.main()
    result = json.loads(output.getvalue())
    assert bool(result.get("failed")) == bool(ended.value.code)
    assert "deprecations" not in result, result
    return {**result, "warnings": said} if said else result


@pytest.fixture
def run_module() -> t.Callable[..., dict[str, t.Any]]:
    """``run_module(module, args, check=False)``: the JSON that ``module.main()`` leaves with.

    A module that failed has ``failed`` and ``msg`` in its result. Arguments are parsed by the module's own
    specification. ``warnings`` are the sentences that Ansible would show.
    """
    return _run_module


def _snapshot(root: t.Any) -> dict[str, tuple]:
    found = {}
    for folder, dirs, files in os.walk(str(root)):
        for name in dirs + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content: t.Any = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as stream:
                    content = hashlib.sha256(stream.read()).hexdigest()
            found[os.path.relpath(path, str(root))] = (status.st_mode, status.st_mtime_ns, content)
    return found


@pytest.fixture
def snapshot() -> t.Callable[[t.Any], dict[str, tuple]]:
    """``snapshot(folder)``: path -> (mode, mtime, content or link target) of all that is below it."""
    return _snapshot


class StateHost:
    """A set-up root with a little state in every component, and the backup modules run on it."""

    def __init__(self, root: t.Any, env: str = "production") -> None:
        self.root, self.env = str(root), env
        self.layout = Layout(self.root)
        for folder in self.layout.folders():
            os.makedirs(folder, exist_ok=True)
        self.put("config/.env", b"MOBIUS_API_KEYS=sekret-of-the-test\n", 0o600)
        self.put("uploads/games/board.png", os.urandom(70_000))
        self.put("uploads/rules.txt", b"roll the dice\n" * 9000)
        self.put("generated/clip.mp4", os.urandom(30_000))
        self.put("logs/app.log", b"INFO started\n" * 500)
        self.put("database/projects.json", b'{"projects": []}')
        os.symlink("rules.txt", self.path("uploads/link"))

    def path(self, name: str) -> str:
        """The place on disk of ``<component>/<path>``."""
        component, _slash, rest = name.partition("/")
        return os.path.join(self.layout.component(component), rest) if rest else self.layout.component(component)

    def put(self, name: str, content: bytes, mode: int = 0o644) -> str:
        """Write a file of a component."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(content)
        os.chmod(path, mode)
        os.utime(path, ns=(10**18, 10**18 + 123456789))  # long at rest
        return path

    def database(self, name: str = "database/mobius.db", journal: str = "wal") -> sqlite3.Connection:
        """A SQLite database in a component with accounts whose sum is 1000."""
        connection = sqlite3.connect(self.path(name), isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER)")
        connection.executemany("INSERT INTO account VALUES (?, 100)", [(number,) for number in range(10)])
        return connection

    def backup(self, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        """Run the module backup."""
        return _run_module(backup, {"root": self.root, "env": self.env, **options}, check)

    def restore(self, archive: str, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        """Run the module backup_restore."""
        return _run_module(backup_restore, {"root": self.root, "env": self.env, "archive": archive, **options}, check)

    def info(self, **options: t.Any) -> list[dict[str, t.Any]]:
        """What backup_info lists."""
        result = _run_module(backup_info, {"root": self.root, **options})
        assert not result.get("failed"), result
        assert not result["changed"]
        return result["backups"]

    def debris(self) -> list[str]:
        """Hidden names that a backup or a restore left."""
        return [name for folder in (self.layout.backups, self.layout.shared) for name in os.listdir(folder) if name.startswith(".")]


@pytest.fixture
def state_host(tmp_path: t.Any) -> StateHost:
    """A host with state to back up; ``StateHost(root, env)`` makes more of them."""
    return StateHost(tmp_path / "mobius")


@pytest.fixture
def new_state_host() -> type[StateHost]:
    """The class, for tests that need a second host."""
    return StateHost


@pytest.fixture
def quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is a second later, so that backups need not wait for a free name."""
    start, ticks = clock.now(), itertools.count()
    monkeypatch.setattr(clock, "now", lambda: start + datetime.timedelta(seconds=next(ticks)))


class Keys:
    """Real keys for signatures: ``private`` signs, ``other`` is one that nobody knows."""

    def __init__(self, folder: t.Any) -> None:
        self.folder = folder
        self.private, self.other = self.make("sign"), self.make("other")

    def make(self, name: str, passphrase: str = "") -> str:
        """A new private key; its path."""
        path = str(self.folder / name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", path], check=True)
        return path

    def allowed(self, options: str = 'namespaces="mobius-backup"', keys: t.Sequence[str] = ()) -> str:
        """The file of allowed signers, with a line for each key, all under the name ``mobius-backup``."""
        path = self.folder / "allowed_signers"
        public = [pathlib.Path(key + ".pub").read_text(encoding="ascii") for key in keys or [self.private]]
        path.write_text("".join(f"mobius-backup {options} {line}" for line in public), encoding="ascii")
        return str(path)

    def policy(self, signer: str = "mobius-backup", **allowed: t.Any) -> signature.Policy:
        """What is asked of a signature."""
        return signature.Policy(self.allowed(**allowed), signer)


@pytest.fixture
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys that sign archives."""
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def renders(tmp_path: pathlib.Path) -> t.Iterator[support_renders.Renders]:
    """A service that starts jobs of the real ffmpeg."""
    with support_renders.renders(tmp_path) as made:
        yield made
