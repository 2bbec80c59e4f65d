# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lint step ``root`` finds each class of call that has let the service's user do something as root."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lint():
    spec = importlib.util.spec_from_file_location("root_code", ROOT / "tools" / "root_code.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def breaches(lint, tmp_path):
    """The kinds that are found in a text, and all lines."""

    def look(text, allowed=None):
        path = tmp_path / "plugins" / "module_utils" / "_new.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return list(lint.breaches(tmp_path, allowed or {}))

    return look


@pytest.mark.parametrize(
    "text, words",
    [
        ("import shutil\nshutil.copytree(a, b, symlinks=True)\n", "_new.py:2: shutil.copytree: follows a link"),
        ("import shutil\nshutil.copystat(a, b)\n", "_new.py:2: shutil.copystat: sets mode"),
        ("import shutil\nshutil.copy2(a, b)\n", "_new.py:2: shutil.copy2: sets mode"),
        ("import os\nos.chown(path, 1, 1)\n", "_new.py:2: os.chown: changes the owner"),
        ("import os\nos.chmod(path, 1)\n", "_new.py:2: os.chmod: changes the mode"),
        ("with open(path, 'rb') as stream:\n    pass\n", "_new.py:1: open: follows links and waits"),
        ("import os\nos.open(path, os.O_RDONLY)\n", "_new.py:2: os.open: follows links and waits"),
        ("def walk(value):\n    for inner in value:\n        walk(inner)\n", "_new.py:3: walk: fails with a RecursionError"),
        ("class A:\n    def walk(self, value):\n        self.walk(value)\n", "_new.py:3: walk: fails with a RecursionError"),
    ],
)
def test_each_class_is_refused(breaches, text, words):
    (line,) = breaches(text)
    assert words in line and "ALLOWED of tools/root_code.py" in line


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.fchown(descriptor, 1, 1)\nos.fchmod(descriptor, 1)\n",
        "import os\nos.open(name, os.O_RDONLY, dir_fd=folder)\nos.open(path, os.O_RDONLY | os.O_NOFOLLOW)\n",
        "with open(foreign.plain(path), 'rb') as stream:\n    pass\n",
        "class A:\n    def round(self):\n        return round(1.5)\n",
    ],
)
def test_what_is_safe_is_not(breaches, text):
    assert breaches(text) == []


def test_an_allowance_that_nothing_needs_is_taken_out(breaches):
    (line,) = breaches("", {"module_utils/_new.py": {"open": "a reason"}})
    assert line == "tools/root_code.py: ALLOWED has open for plugins/module_utils/_new.py, which has no such call any more: take it out"


def test_this_collection(lint):
    assert list(lint.breaches(ROOT, lint.ALLOWED)) == []
