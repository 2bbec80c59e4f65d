# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts with the real sample application behind the real proxy."""

from __future__ import annotations

import os
import shutil
import typing as t
from pathlib import Path

import pytest
from support.proxied import ProxiedRoot, install_modules
from support.remains import end_all
from support.waiting import HANG

from ansible_collections.mobius.ops.plugins.module_utils._deploy import switch

DEPS = Path(__file__).resolve().parents[2] / ".build" / "traffic"


@pytest.fixture(scope="session")
def modules() -> str:
    """The dependencies of the sample application, installed once."""
    return install_modules(str(DEPS))


@pytest.fixture
def site(tmp_path: Path, modules: str, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[t.Callable[..., ProxiedRoot]]:
    """Makes sites; all of their processes end with the test.

    An instance that answers late on a busy machine is not ill.
    """
    monkeypatch.setattr(switch, "ANSWERS", HANG)
    assert shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin"), "install haproxy (make setup does)"

    def make(state: str) -> ProxiedRoot:
        return ProxiedRoot(tmp_path / "site", state, modules)

    yield make
    end_all(str(tmp_path))
