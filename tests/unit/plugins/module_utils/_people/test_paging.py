# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Incidents that reach people, on a simulated clock: the right level at the right minute, through channels that fail."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest
from support.paging import CHANNELS, MINUTES, SETTINGS, Paged
from support.ports import free_port
from support.waiting import wait_until

from ansible_collections.mobius.ops.plugins.module_utils._core import fs, locks
from ansible_collections.mobius.ops.plugins.module_utils._core.errors import OpsError
from ansible_collections.mobius.ops.plugins.module_utils._people import outbox, paging, plan, service, text
from ansible_collections.mobius.ops.plugins.module_utils._target import incidents


@pytest.fixture
def paged(tmp_path):
    return Paged(str(tmp_path))


def expected(*minutes, incident="INC-20261103-1", channels=CHANNELS, levels=(1, 2, 3, 4)):
    """Minute, level and channel of each message when the levels are paged at these minutes."""
    return sorted((minute, f"{incident}, level {number}", channel) for minute, number in zip(minutes, levels) for channel in channels)


def test_each_level_is_paged_at_its_minute_once_by_a_run_each_minute(paged):
    paged.open()
    for minute in range(91):
        result = paged.run(minute)
        assert result["delivered"] and bool(result["sent"]) == (minute in MINUTES), (minute, result)
    assert paged.got() == expected(*MINUTES) and not paged.repeated()
    assert len({each["key"] for each in paged.messages()}) == 12


@pytest.mark.parametrize(
    "runs, minutes",
    [
        ((0, 0, 0, 1, 15, 15, 30, 60, 60), MINUTES),  # repeated
        ((7, 40, 41), (7, 40, 40)),  # missed
        ((100,), (100, 100, 100, 100)),
        ((0, 60), (0, 60, 60, 60)),
    ],
)
def test_runs_that_are_repeated_or_missed(paged, runs, minutes):
    paged.open()
    for minute in runs:
        paged.run(minute)
    assert paged.got() == expected(*minutes) and not paged.repeated()


def test_runs_at_the_same_time(paged):
    for number in range(1, 6):
        paged.open(number)
    for minute in MINUTES:
        paged.at(minute)
        threads = [threading.Thread(target=paged.run) for _run in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    paged.run()  # what a run left to another one that had begun before its decision
    assert not paged.repeated()
    assert {(one, channel) for _at, one, channel in paged.got()} == {
        (f"INC-20261103-{number}, level {level}", channel) for number in range(1, 6) for level in range(1, 5) for channel in CHANNELS
    }


def test_a_channel_that_is_down_for_an_hour_delays_no_other_and_loses_nothing(paged):
    paged.open()
    paged.down = {"mail"}
    for minute in range(61):
        result = paged.run(minute)
        assert not result["delivered"] and "INC-20261103-1 level 1 mail" in result["waiting"]
    assert paged.got() == expected(*MINUTES, channels=("phone", "room"))
    assert 6 <= outbox.Outbox(paged.layout).read(("INC-20261103-1", 0, "mail")).attempts <= 10  # the pauses were kept
    paged.down = set()
    for minute in range(61, 91):
        result = paged.run(minute)
    assert result["delivered"] and not paged.repeated()
    late = [each for each in paged.messages() if each["channel"] == "mail"]
    assert sorted(each["body"].partition("level ")[2][0] for each in late) == ["1", "2", "3", "4"]
    for each in late:
        number = int(each["body"].partition("level ")[2][0])
        delay = each["at"] - MINUTES[number - 1]
        assert each["at"] <= 61 + outbox.CAP * 1.2 / 60 and each["title"].endswith(f"[delayed by {delay:.0f} min]")
    assert "not delivered" not in result["message"].lower()


def test_a_channel_that_hangs_delays_no_other(paged):
    paged.open()
    released = threading.Event()

    def send(url, *words):
        if url.endswith("mail"):
            released.wait()
        return paged.send(url, *words)

    results = []
    thread = threading.Thread(target=lambda: results.append(paged.run(0, send=send, limit=3.0)))
    thread.start()
    try:
        wait_until(lambda: len(paged.messages()) == 2)  # while one hangs
        thread.join()
        assert "INC-20261103-1 level 1 mail (no answer in time, tried 1 times)" in results[0]["message"]
        for minute in (1, 15):
            paged.run(minute)  # its channel is still locked by the one that hangs
        assert paged.got() == expected(0, 15, channels=("phone", "room"))
    finally:
        released.set()
    wait_until(lambda: len(paged.messages()) == 5)  # it answered after all, which is noted
    wait_until(lambda: states(paged)["INC-20261103-1.0.mail"] == "sent")
    wait_until(lambda: not locks.is_locked(outbox.Outbox(paged.layout).lock("mail")))
    paged.run(16)
    assert paged.got() == sorted(
        [*expected(0, 15, channels=("phone", "room")), (15, "INC-20261103-1, level 1", "mail"), (16, "INC-20261103-1, level 2", "mail")]
    )


def test_a_real_receiver_that_hangs_and_one_that_is_not_there_delay_no_other(tmp_path, web, capsys):
    """Through Apprise, to receivers on this machine."""
    arrived = {}

    def take(handler, name):
        arrived[name] = time.monotonic() - began
        handler.send(200)

    for name in ("room", "spare"):
        web.answers[f"/{name}"] = lambda handler, body, name=name: take(handler, name)
    web.answers["/mail"] = lambda handler, body: web.ending.wait()
    urls = {name: f"json://127.0.0.1:{web.port}/{name}" for name in ("room", "spare")}
    contacts = {**SETTINGS["contacts"], "channels": {**SETTINGS["contacts"]["channels"], "phone": {"fallback": "spare"}}}
    paged = Paged(
        str(tmp_path),
        {**urls, "phone": f"json://127.0.0.1:{free_port()}/", "mail": f"json://127.0.0.1:{web.port}/mail?rto=0.5"},
        contacts=contacts,
    )
    paged.open()
    began = time.monotonic()
    first = paged.run(0, send=None, limit=None)
    assert set(arrived) == {"room"} and len(first["waiting"]) == 2
    with capsys.disabled():
        print(
            f"\none channel hangs, one is down: the third has its message after {arrived['room']:.2f} s, the run ends after "
            f"{time.monotonic() - began:.1f} s"
        )
    began = time.monotonic()
    second = paged.run(1, send=None, limit=None)
    assert second["sent"] == ["INC-20261103-1 level 1 spare"]
    with capsys.disabled():
        print(f"the fallback of the one that is down has it after {arrived['spare']:.2f} s of the next run")


def test_a_sender_that_breaks_is_a_failure_of_its_message(paged):
    paged.open()

    def send(url, *words):
        if url.endswith("mail"):
            raise RuntimeError(url)
        return paged.send(url, *words)

    result = paged.run(0, send=send)
    assert "INC-20261103-1 level 1 mail (it failed with RuntimeError, tried 1 times)" in result["message"]
    assert paged.got() == expected(0, channels=("phone", "room")) and "pass-of" not in json.dumps(result)


def states(paged):
    """State of each message of the outbox, by its name."""
    box = outbox.Outbox(paged.layout)
    return {".".join(map(str, name)): box.read(name).status for name in box.names()}


def test_pauses_double_up_to_a_cap_and_vary(paged):
    each, pauses = outbox.message("INC-1", 0, "mail", paged.now, paged.now), []
    for _try in range(8):
        each = outbox.failed(each, "down", paged.now, lambda: 0.5)
        pauses.append((each.next - paged.now).total_seconds())
    assert pauses == [30, 60, 120, 240, 480, 900, 900, 900] and (each.attempts, each.status) == (8, "waiting")
    spread = [
        (
            outbox.failed(outbox.message("INC-1", 0, "mail", paged.now, paged.now), "down", paged.now, lambda chance=chance: chance).next
            - paged.now
        ).total_seconds()
        for chance in (0, 1)
    ]
    assert spread == [24, 36]


def test_a_fallback_channel_gets_the_message_after_two_failures_and_the_channel_itself_later(tmp_path):
    contacts = {**SETTINGS["contacts"], "channels": {**SETTINGS["contacts"]["channels"], "phone": {"fallback": "spare"}}}
    paged = Paged(str(tmp_path), contacts=contacts)
    paged.open()
    paged.down = {"phone"}
    paged.run(0)
    assert paged.got() == expected(0, channels=("mail", "room"))
    result = paged.run(1)  # the fallback is sent to by the same run
    assert "INC-20261103-1 level 1 spare" in result["sent"] and [one[2] for one in paged.got() if one[0] == 1] == ["spare"]
    instead = next(each for each in paged.messages() if each["channel"] == "spare")
    assert "Sent here because the channel phone failed." in instead["body"] and instead["title"].endswith("[delayed by 1 min]")
    for minute in (3, 5, 10):
        paged.run(minute)
    assert [one[2] for one in paged.got()].count("spare") == 1
    paged.down = set()
    paged.run(30)
    assert (30, "INC-20261103-1, level 1", "phone") in paged.got() and not paged.repeated()


def test_a_fallback_channel_does_not_wait_for_another_channel_that_hangs(tmp_path):
    contacts = {**SETTINGS["contacts"], "channels": {**SETTINGS["contacts"]["channels"], "phone": {"fallback": "spare"}}}
    paged = Paged(str(tmp_path), contacts=contacts)
    paged.open()
    paged.down = {"phone", "mail"}
    paged.run(0)
    released = threading.Event()

    def send(url, *words):
        if url.endswith("mail"):
            released.wait()
        return paged.send(url, *words)

    thread = threading.Thread(target=lambda: paged.run(1, send=send))
    thread.start()
    try:
        wait_until(lambda: [one[2] for one in paged.got() if one[0] == 1] == ["spare"])  # while one hangs
        assert thread.is_alive()
    finally:
        released.set()
        thread.join()


def test_a_channel_that_fails_twice_is_down_and_its_fallback_gets_all_that_it_should_send(tmp_path):
    channels = {**SETTINGS["contacts"]["channels"], "phone": {"fallback": "spare"}, "mail": {"fallback": "spare"}}
    paged = Paged(str(tmp_path), contacts={**SETTINGS["contacts"], "channels": channels})
    names = [paged.open(number) for number in range(1, 6)]
    paged.down = {"phone", "mail"}
    for minute in (0, 1):
        paged.run(minute)
    assert {(at, one) for at, one, channel in paged.got() if channel == "spare"} == {(1, f"{name}, level 1") for name in names}
    paged.down = set()
    paged.run(40)
    assert {(one, channel) for _at, one, channel in paged.got() if "level 1" in one} == {
        (f"{name}, level 1", channel) for name in names for channel in (*CHANNELS, "spare")
    }
    assert not paged.repeated()


def test_one_message_that_is_refused_sends_no_other_to_the_fallback(tmp_path):
    contacts = {**SETTINGS["contacts"], "channels": {**SETTINGS["contacts"]["channels"], "phone": {"fallback": "spare"}}}
    paged = Paged(str(tmp_path), contacts=contacts)
    paged.open()

    def send(url, title, *words):
        return "it is refused" if url.endswith("phone") and "fail 1 " in title else paged.send(url, title, *words)

    paged.run(0, send=send)
    for number, minute in ((2, 1), (3, 3), (4, 5)):
        paged.open(number, minute)
        paged.run(minute, send=send)
    assert [one for _at, one, channel in paged.got() if channel == "spare"] == ["INC-20261103-1, level 1"]


def test_a_channel_that_has_just_delivered_is_not_down(tmp_path):
    contacts = {**SETTINGS["contacts"], "channels": {**SETTINGS["contacts"]["channels"], "phone": {"fallback": "spare"}}}
    paged = Paged(str(tmp_path), contacts=contacts)
    paged.open(1)

    def send(url, title, *words):
        refused = url.endswith("phone") and ("fail 1 " in title or "fail 3 " in title)
        return "it is refused" if refused else paged.send(url, title, *words)

    paged.run(0, send=send)
    for number in (2, 3, 4):
        paged.open(number, 1)
    paged.run(1, send=send)
    assert [(one, channel) for _at, one, channel in paged.got() if channel in ("phone", "spare")] == [("INC-20261103-2, level 1", "phone")]


def test_a_channel_without_a_url_falls_back_at_once(tmp_path):
    contacts = {**SETTINGS["contacts"], "channels": {**SETTINGS["contacts"]["channels"], "phone": {"fallback": "spare"}}}
    paged = Paged(str(tmp_path), {name: f"json://@{name}" for name in ("mail", "room", "spare")}, contacts=contacts)
    paged.open()
    result = paged.run(0)
    assert paged.got() == expected(0, channels=("mail", "room", "spare"))
    assert "INC-20261103-1 level 1 phone (the channel has no URL, tried 1 times)" in result["message"]


def test_an_acknowledgement_ends_the_paging_and_what_waits(paged):
    name = paged.open()
    paged.down = {"mail"}
    paged.run(0)
    incidents.acknowledge(paged.layout, name, "mine")
    paged.down = set()
    result = paged.run(1)
    assert result["delivered"] and "1 not needed any more." in result["message"]
    for minute in (15, 30, 60, 120):
        paged.run(minute)
    assert paged.got() == expected(0, channels=("phone", "room")) and states(paged)["INC-20261103-1.0.mail"] == "cancelled"


def test_an_acknowledgement_while_a_run_sends_reaches_the_channels_that_have_not_begun(paged):
    name = paged.open()
    paged.down = {"phone", "mail", "room"}
    paged.run(0)
    paged.down = set()

    def send(*words):
        incidents.acknowledge(paged.layout, name)
        return paged.send(*words)

    paged.run(15, send=send)  # each channel has the first and the second level's message
    assert len(paged.messages()) <= 3 and list(states(paged).values()).count("cancelled") >= 3


def test_one_that_is_closed_is_not_paged(paged):
    paged.open(1, status="resolved")
    paged.open(2, status="open")
    paged.run(0)
    assert {one[1] for one in paged.got()} == {"INC-20261103-2, level 1"}


def test_incidents_from_before_the_setup_are_not_paged(paged):
    paged.open(1, minutes=-61)
    paged.open(2, minutes=-60)
    paged.run(0)
    assert {one[1].partition(",")[0] for one in paged.got()} == {"INC-20261103-2"}
    paged.configure(link="https://x")  # a later setup changes nothing about that
    assert not paged.run(1)["sent"]


@pytest.mark.parametrize("severity", [{"a": [1]}, [2], True, "2", 2.5, 9, None])
def test_a_severity_that_is_none_counts_as_1(host, severity):
    fs.write_json(host.layout.path("incidents", "INC-20261103-1.json"), {"title": "It is down", "severity": severity})
    assert text.incident(host.layout, "INC-20261103-1").severity == 1


@pytest.mark.parametrize("damage", ["{", "[]", "", '{"acknowledged": "yes"}'])
def test_a_damaged_record_counts_as_severity_1(paged, damage):
    path = paged.layout.path("incidents", "INC-20261103-1.json")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(damage)
    os.utime(path, (paged.now.timestamp(), paged.now.timestamp()))
    result = paged.run(0)
    (first, *_others) = paged.messages()
    assert first["title"] == "SEV1 critical: an incident whose record is damaged (production, web1)" and len(paged.messages()) == 3
    assert not result["delivered"] and path in result["message"]


@pytest.mark.parametrize("severity", [None, 7, "high", True])
def test_an_unknown_severity_counts_as_1(paged, severity):
    paged.open(severity=severity)
    paged.run(0)
    assert paged.messages()[0]["title"].startswith("SEV1 critical: ")


def test_a_record_without_a_time_counts_from_when_it_was_written(paged):
    name = paged.open(opened="soon", title=None)
    os.utime(paged.layout.path("incidents", name + ".json"), (paged.now.timestamp() + 120,) * 2)
    assert not paged.run(0)["sent"] and len(paged.run(2)["sent"]) == 3
    assert "an incident without a title" in paged.messages()[0]["title"]


def test_what_a_message_says(paged):
    paged.configure(link="https://ops.example.com/i/{incident}", runbook="https://ops.example.com/runbook.html")
    paged.open(severity=1, summary="v2 was bad; went back to v1")
    paged.run(2)
    each = paged.messages()[0]
    assert each["title"] == "SEV1 critical: Renders fail 1 (production, web1) [delayed by 2 min]"
    assert each["body"].splitlines() == [
        "Severity 1 (critical), production, web1",
        "Affected: Renders fail 1 (release v1)",
        "Since: 2026-11-03T12:00:00Z (2 min)",
        "Known and done: v2 was bad; went back to v1",
        "Backup: a.zip",
        "Next: ansible-playbook mobius.ops.status -l web1",
        "Acknowledge: ansible-playbook mobius.ops.escalate -l web1 -e mobius_acknowledge=INC-20261103-1",
        "Runbook: https://ops.example.com/runbook.html#severity-1-critical",
        "Report: https://ops.example.com/i/INC-20261103-1",
        f"Record: {paged.layout.path('incidents', 'INC-20261103-1.md')} on web1",
        "INC-20261103-1, level 1",
        f"Key: {each['key']}",
    ]


def test_a_message_is_written_when_it_is_sent(paged):
    paged.open(summary="unknown")
    paged.down = {"mail"}
    paged.run(0)
    paged.open(summary="the disk is full")
    paged.down = set()
    paged.run(2)
    last = paged.messages()[-1]
    assert last["channel"] == "mail" and "Known and done: the disk is full" in last["body"] and last["title"].endswith("[delayed by 2 min]")


def test_secrets_and_control_characters_do_not_leave_in_messages(paged):
    with open(paged.layout.env_file, "w", encoding="utf-8") as stream:
        stream.write("API_KEY=zeKr1t-of-paging\n")
    paged.open(summary="key zeKr1t-of-paging\x1b[2J", title="a\nb")
    paged.run(0)
    text = json.dumps(paged.messages())
    assert "zeKr1t" not in text and "********" in text and "\\u001b" not in text and "a b (production" in text


def test_nobody_reached_is_told_and_paged_once_someone_is_there(tmp_path):
    paged = Paged(str(tmp_path), oncall={"sre": {"people": ["anna"], "start": "2026-11-04"}})  # a day later
    paged.open()
    result = paged.run(0)
    assert not result["delivered"] and "INC-20261103-1 reaches nobody. Add a level that always reaches a channel." in result["message"]
    paged.run(24 * 60)
    assert len(paged.messages()) == 12 and paged.messages()[0]["title"].endswith(" min]")


def test_who_was_paged_at_a_level_stays_after_a_hand_over(tmp_path):
    people = {"anna": {"channels": ["phone"]}, "bert": {"channels": ["mail"]}}
    paged = Paged(
        str(tmp_path),
        contacts={**SETTINGS["contacts"], "people": people},
        oncall={"sre": {"people": ["anna", "bert"], "start": "2026-10-27", "time": "12:10"}},
    )  # on Tuesdays, ten past noon
    paged.open()
    for minute in range(20):
        paged.run(minute)
    assert paged.got() == [(0, "INC-20261103-1, level 1", "phone"), (15, "INC-20261103-1, level 2", "mail")]


def test_a_message_to_named_people(paged):
    result = service.escalated(paged.layout, (["mail", "sre"], "A test", "of channels"), paged.send, lambda: paged.now)[1]
    assert len(result["sent"]) == 3 and result["delivered"]
    assert {(each["channel"], each["title"]) for each in paged.messages()} == {(name, "A test") for name in CHANNELS}
    assert paged.messages()[0]["body"].splitlines()[0] == "of channels"


def test_a_message_without_an_incident_is_given_up_after_a_day(paged):
    paged.down = set(CHANNELS)
    service.escalated(paged.layout, (["mail"], "A test", ""), paged.send, lambda: paged.now)
    paged.run(24 * 60 - 1)
    assert set(states(paged).values()) == {"waiting"}
    paged.run(24 * 60 + 60)
    assert set(states(paged).values()) == {"failed"}


@pytest.mark.parametrize(
    "to, title, words",
    [
        (["cto"], "x", "to: 'cto' is not a schedule, person or channel. Use one of anna, mail, phone, room, spare, sre."),
        ([], "x", "to: an empty list reaches no channel now. Name a channel."),
        (["mail"], " ", "title: the message has none. Give one."),
    ],
)
def test_a_message_to_nobody(paged, to, title, words):
    with pytest.raises(OpsError) as caught:
        service.escalated(paged.layout, (to, title, ""), paged.send, lambda: paged.now)
    assert str(caught.value) == words and not paged.messages()


def test_old_messages_are_removed_once_nobody_needs_them(paged):
    name = paged.open()
    paged.open(2)
    service.escalated(paged.layout, (["mail"], "A test", ""), paged.send, lambda: paged.now)
    paged.run(0)
    incidents.acknowledge(paged.layout, name)
    paged.run(29 * 24 * 60)
    assert any(one.startswith(name) for one in states(paged)) and any(one.startswith("MSG-") for one in states(paged))
    paged.run(31 * 24 * 60)
    assert not any(one.startswith((name + ".", "MSG-")) for one in os.listdir(outbox.Outbox(paged.layout).folder))
    before = len(paged.messages())
    paged.run(32 * 24 * 60)
    assert len(paged.messages()) == before and len([one for one in states(paged) if one.startswith("INC-20261103-2.")]) == 12


def test_a_message_that_is_made_again_has_the_same_key(paged):
    name = paged.open()
    paged.run(0)
    os.unlink(os.path.join(outbox.Outbox(paged.layout).folder, f"{name}.0.mail.json"))
    paged.run(1)
    assert paged.repeated() == [each["key"] for each in paged.messages() if each["channel"] == "mail"][1:]
    assert len(paged.messages()) == 4


def test_what_a_killed_writer_left_is_swept_later(paged):
    paged.open()
    paged.run(0)
    left = os.path.join(outbox.Outbox(paged.layout).folder, ".x.json.abc.tmp")
    fs.write_text(left, "{")
    paged.run(1)
    assert os.path.exists(left)
    os.utime(left, (1, 1))
    paged.run(2)
    assert not os.path.exists(left)


def test_damaged_messages_and_decisions_are_told(paged):
    name = paged.open()
    paged.run(0)
    box = outbox.Outbox(paged.layout)
    for file in (f"{name}.0.mail.json", f"{name}.json"):
        fs.write_text(os.path.join(box.folder, file), '{"levels": 3}')
    fs.write_json(os.path.join(box.folder, f"{name}.0.room.json"), box.read((name, 0, "phone")).record())
    result = paged.run(1)
    assert not result["delivered"] and f"{name}.0.mail.json" in result["message"] and f"{name}.json" in result["message"]
    assert f"{name}.0.room.json: expected a message of the outbox, found another message." in result["message"]
    assert not paged.repeated()


def test_another_run_that_decides_for_too_long(paged, monkeypatch):
    monkeypatch.setattr(paging, "PATIENCE", 0.05)
    box = outbox.Outbox(paged.layout)
    box.make()
    with locks.locked(box.lock()), pytest.raises(OpsError, match="another run has been deciding for too long"):
        paged.run(0)


def test_the_outbox_is_only_for_root(paged):
    paged.open()
    paged.run(0)
    folder = outbox.Outbox(paged.layout).folder
    files = [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".json")]
    assert len(files) == 4 and os.stat(folder).st_mode & 0o777 == 0o700
    for path in [*files, plan.own_urls(paged.layout), plan.record_path(paged.layout)]:
        assert os.stat(path).st_mode & 0o777 == 0o600, path
        if path != plan.own_urls(paged.layout):
            with open(path, encoding="utf-8") as stream:
                assert "pass-of" not in stream.read()


def test_what_was_paged_is_in_the_history(paged):
    paged.open()
    paged.run(15)
    with open(paged.layout.history, encoding="utf-8") as stream:
        events = [json.loads(line) for line in stream]
    assert [(each["what"], each["incident"], each["level"], each["channels"]) for each in events] == [
        ("paged", "INC-20261103-1", number, list(CHANNELS)) for number in (1, 2)
    ]
