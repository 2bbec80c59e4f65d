# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures of the module tests: run a module's real ``main()``, and compare whole trees."""
from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import stat
import typing as t

import pytest
from ansible.module_utils import basic

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # ansible-core 2.16

    @contextlib.contextmanager
    def patch_module_args(module_args: dict[str, t.Any]) -> t.Iterator[None]:
        """What ansible-core 2.17 and newer bring themselves."""
        old, basic._ANSIBLE_ARGS = basic._ANSIBLE_ARGS, json.dumps({"ANSIBLE_MODULE_ARGS": module_args}).encode()
        try:
            yield
        finally:
            basic._ANSIBLE_ARGS = old


def _run_module(module: t.Any, args: dict[str, t.Any], check: bool = False, diff: bool = True) -> dict[str, t.Any]:
    arguments = {**args, "_ansible_check_mode": check, "_ansible_diff": diff}
    output = io.StringIO()
    with patch_module_args(arguments), contextlib.redirect_stdout(output), pytest.raises(SystemExit) as ended:
        module.main()
    result = json.loads(output.getvalue())
    assert bool(result.get("failed")) == bool(ended.value.code)
    return result


@pytest.fixture
def run_module() -> t.Callable[..., dict[str, t.Any]]:
    """``run_module(module, args, check=False)``: the JSON that ``module.main()`` leaves with.

    A module that failed has ``failed`` and ``msg`` in its result. Nothing is mocked: arguments are parsed by the
    module's own specification.
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
