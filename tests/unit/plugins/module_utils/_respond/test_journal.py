# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was done about alerts, on disk."""

from __future__ import annotations

import dataclasses
import os
import stat

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import clock
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import IntegrityError
from ansible_collections.mobius.ops.plugins.module_utils._respond import journal


def test_a_response_is_written_down_as_it_goes_on(host):
    made = journal.Journal(host.layout)
    assert made.all() == []
    first = made.write(journal.Response(clock.iso(), "Down", "loop", ("restart",), "begun"))
    other = made.write(dataclasses.replace(first, cause="memory"))
    ended = made.write(dataclasses.replace(first, outcome="mended", incident="INC-1"))
    assert made.all() == [other, ended] and ended.did() == "restart was tried"
    assert stat.S_IMODE(os.stat(made.path).st_mode) == 0o600


def test_only_the_newest_are_kept_and_counted(host):
    made = journal.Journal(host.layout)
    for number in range(journal.KEPT + 3):
        made.write(journal.Response(clock.from_epoch(1_000_000 + number), "Down", "loop", (), "mended"))
    made.write(journal.Response(clock.iso(), "Down", "loop", (), "mended"))
    assert len(made.all()) == journal.KEPT and len(made.since(3600)) == 1


def test_a_damaged_list_is_named(host):
    made = journal.Journal(host.layout)
    with open(made.path, "w", encoding="utf-8") as stream:
        stream.write('[{"when": "yesterday"}]')
    with pytest.raises(IntegrityError, match="the list of responses to alerts"):
        made.all()
