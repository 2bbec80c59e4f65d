# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host keeps for messages: settings, and URLs that only root reads."""

from __future__ import annotations

import json
import os

import pytest
from support.paging import SETTINGS, Paged

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError, IntegrityError, StateError
from ansible_collections.mobius.ops.plugins.module_utils._people import plan


@pytest.fixture
def paged(tmp_path):
    return Paged(str(tmp_path))


def test_a_second_setup_changes_nothing_and_keeps_since_when_incidents_are_paged(paged):
    since = plan.load(paged.layout).since
    assert not plan.configure(paged.layout, SETTINGS, paged.urls, False)
    assert plan.configure(paged.layout, {**SETTINGS, "link": "https://x"}, paged.urls, False)
    known = plan.load(paged.layout)
    assert (known.since, known.link, known.host, known.env) == (since, "https://x", "web1", "production")
    assert plan.urls(known) == paged.urls


def test_check_mode_writes_nothing(paged):
    before = {name: os.stat(paged.layout.path("state", name)).st_mtime_ns for name in os.listdir(paged.layout.state)}
    assert plan.configure(paged.layout, {**SETTINGS, "link": "https://x"}, {}, True)
    assert plan.configure(paged.layout, {**SETTINGS, "contacts": {}, "oncall": {}, "escalation": {}}, {}, True)
    assert before == {name: os.stat(paged.layout.path("state", name)).st_mtime_ns for name in os.listdir(paged.layout.state)}


def test_without_channels_all_is_removed(paged):
    none = {**SETTINGS, "contacts": {}, "oncall": {}, "escalation": {}}
    assert plan.configure(paged.layout, none, {}, False) and not plan.configure(paged.layout, none, {}, False)
    assert os.listdir(paged.layout.state) == []
    with pytest.raises(StateError) as caught:
        plan.load(paged.layout)
    assert str(caught.value) == (
        "messages: this host has no contacts. Set mobius_contacts and mobius_escalation, and run the playbook mobius.ops.setup."
    )


def test_urls_that_others_may_read_are_closed_by_the_next_setup(paged):
    os.chmod(plan.own_urls(paged.layout), 0o644)
    with pytest.raises(StateError) as caught:
        plan.urls(plan.load(paged.layout))
    path = plan.own_urls(paged.layout)
    assert str(caught.value) == f"{path}: other users may read or write the URLs of channels. chown root {path} && chmod 600 {path}."
    assert plan.configure(paged.layout, SETTINGS, paged.urls, False) and plan.urls(plan.load(paged.layout)) == paged.urls


def test_a_file_of_the_operator_wins(paged, tmp_path):
    own = tmp_path / "urls.json"
    own.write_text(json.dumps({"mail": "mailtos://x"}))
    own.chmod(0o600)
    plan.configure(paged.layout, {**SETTINGS, "urls_file": str(own)}, {}, False)
    assert plan.urls(plan.load(paged.layout)) == {"mail": "mailtos://x"} and not os.path.exists(plan.own_urls(paged.layout))
    own.write_text('{"mail": 3}')
    with pytest.raises(IntegrityError, match="in mail instead of a text"):
        plan.urls(plan.load(paged.layout))
    own.unlink()
    assert plan.urls(plan.load(paged.layout)) == {}
    own.symlink_to(plan.record_path(paged.layout))
    with pytest.raises(IntegrityError):
        plan.urls(plan.load(paged.layout))


@pytest.mark.parametrize(
    "urls, sentence",
    [
        (
            {"pager": "json://zeKr1t"},
            "mobius_notify_urls: 'pager' is not a channel of mobius_contacts. Correct the name, or add the channel.",
        ),
        ({"mail": "zeKr1t"}, "mobius_notify_urls: the value of mail is not a URL. Give an Apprise URL such as mailtos://…."),
        ({"mail": ["zeKr1t"]}, "mobius_notify_urls: the value of mail is not a URL. Give an Apprise URL such as mailtos://…."),
    ],
)
def test_mistakes_in_urls_tell_no_url(paged, urls, sentence):
    with pytest.raises(InputError) as caught:
        plan.configure(paged.layout, SETTINGS, urls, False)
    assert str(caught.value) == sentence


def test_a_damaged_record(paged):
    with open(plan.record_path(paged.layout), "w", encoding="utf-8") as stream:
        stream.write("{}")
    with pytest.raises(IntegrityError, match=r"Move the file away and run the playbook mobius\.ops\.setup"):
        plan.load(paged.layout)
