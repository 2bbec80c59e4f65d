# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.filter.deploy_end import OUTCOMES, deploy_end

FLEET = {"ahead": [], "behind": [], "incident": "INC-1", "back_to": ""}
MIXED = {**FLEET, "ahead": ["one"], "behind": ["two", "three"], "back_to": "v1"}
HEALTHY = {"verdict": "healthy", "trigger": None, "rollback": None, "incident": None}
LIVE = {"is_live": True, "watch": {}, "switch": {}}
BAD = {"verdict": "rolled_back", "trigger": "3 failed checks", "incident": "INC-2", "rollback": {"to": "v1"}}
SWITCHED = {"changed": True, "downtime": 0.4, "log": "/srv/mobius/state/service/console.log"}


def facts(**other):
    """A deploy of v2 over v1 that went well, but for what is given."""
    return {
        "release": "v2",
        "before": "v1",
        "is_live": False,
        "applies": False,
        "restart_needed": [],
        "restart_message": "",
        "failure": None,
        "forward_only": False,
        "migrates": False,
        "check_mode": False,
        "backup": "/backups/x.zip",
        "duration": 300,
        "settled": {},
        "applied": {},
        "final": {},
        "switch": SWITCHED,
        "smoke": {},
        "watch": HEALTHY,
        "watch_end": {},
        "after": {},
        "went_back": {},
        "left": {},
        "pruned": {},
        "page": "",
        **other,
    }


def failed(**other):
    """One whose smoke test failed, and that went back."""
    return facts(
        failure="Smoke-test: 2 of 9 failed.",
        after={"live": "v2"},
        went_back={"changed": True, "release": {"id": "v1"}},
        left={"live": "v1"},
        watch={},
        **other,
    )


LOG = f" The log of the application: {SWITCHED['log']}."
CASES = [
    (facts(), FLEET, "deployed", "release v2 is live and verified (before: v1, downtime 0.4 s, backup /backups/x.zip)."),
    (
        facts(before=None, backup=None, switch={}),
        FLEET,
        "deployed",
        "release v2 is live and verified (before: none, downtime 0 s, backup none).",
    ),
    (
        facts(check_mode=True, watch={}),
        FLEET,
        "planned",
        "release v2 would replace v1 after a backup and be watched for 300 s; nothing was changed.",
    ),
    (facts(**LIVE), FLEET, "unchanged", "release v2 is live and verified already; nothing was changed."),
    (
        facts(**LIVE, restart_message="Run mobius.ops.restart."),
        FLEET,
        "unchanged",
        "release v2 is live and verified already; nothing was "
        "changed. This deploy does not apply changed settings. Run mobius.ops.restart.",
    ),
    (
        facts(**LIVE, applies=True, restart_needed=["unit", "environment"]),
        FLEET,
        "unchanged",
        "release v2 is live and verified already; it was restarted without a lost request, so that it has the current unit, environment.",
    ),
    (
        facts(**LIVE, applies=True, restart_needed=["unit"], check_mode=True),
        FLEET,
        "unchanged",
        "release v2 is live and verified already; it would be restarted without a lost request, so that it has the current unit.",
    ),
    (
        facts(**LIVE, applies=True, restart_needed=["unit"], applied={"msg": "it did not start."}),
        FLEET,
        "failed",
        "release v2 is live and verified already, and could not be restarted with the current unit: it did not start.",
    ),
    (
        facts(**LIVE, final={"live": "v3"}),
        FLEET,
        "failed",
        "release v2 was live and verified when this run began, and another run has "
        "replaced it: v3 serves now. Run the same deploy again, when v2 is the one that is wanted.",
    ),
    (
        facts(**LIVE, final={"live": None}),
        FLEET,
        "failed",
        "release v2 was live and verified when this run began, and another run has "
        "replaced it: none serves now. Run the same deploy again, when v2 is the one that is wanted.",
    ),
    (
        facts(**LIVE, final={"live": "v2"}, migrates=True),
        MIXED,
        "unchanged",
        "release v2 is live and verified already; nothing was changed. "
        "The fleet is mixed: release v2 serves on one and not on two, three, and its migration was not undone. Mend the cause "
        "and run the same "
        "deploy again, or send all to one release with mobius.ops.rollback -e mobius_release_id=v1.",
    ),
    (failed(), FLEET, "rolled_back", f"release v2 was rolled back to v1: Smoke-test: 2 of 9 failed. Incident INC-1.{LOG}"),
    (
        failed(),
        {**MIXED, "back_to": ""},
        "rolled_back",
        "release v2 was rolled back to v1: Smoke-test: 2 of 9 failed. Incident INC-1. The "
        "fleet is mixed: release v2 serves on one and not on two, three. Mend the cause and run the same deploy again, or send all to one "
        f"release with mobius.ops.rollback -e mobius_release_id=ID.{LOG}",
    ),
    (
        {**failed(), "went_back": {"msg": "there is no release to go back to."}, "left": {"live": "v2"}},
        {**FLEET, "incident": ""},
        "failed",
        f"Smoke-test: 2 of 9 failed. there is no release to go back to. Release v2 is bad and still serves. Incident none.{LOG}",
    ),
    (
        {**failed(), "went_back": {"changed": False}, "after": {"live": "v1"}},
        FLEET,
        "rolled_back",
        f"release v2 was rolled back to v1: Smoke-test: 2 of 9 failed. Incident INC-1.{LOG}",
    ),
    (
        {**failed(switch={}), "went_back": {}, "after": {"live": "v1"}},
        FLEET,
        "failed",
        "Smoke-test: 2 of 9 failed. Incident INC-1.",
    ),
    (
        {**failed(forward_only=True), "went_back": {}},
        FLEET,
        "frozen",
        "release v2 is bad and its migration is forward-only, so it was not "
        f"rolled back and still serves: Smoke-test: 2 of 9 failed. A person decides; incident INC-1.{LOG}",
    ),
    (facts(watch=BAD), FLEET, "rolled_back", f"release v2 was rolled back to v1: 3 failed checks. Incident INC-2.{LOG}"),
    (
        facts(watch={**BAD, "verdict": "frozen", "rollback": None}),
        FLEET,
        "frozen",
        "release v2 is bad and was not rolled back: 3 failed "
        f"checks. A person decides; incident INC-2 tells why, mobius.ops.status what serves.{LOG}",
    ),
    (
        facts(watch={**HEALTHY, "verdict": "degraded", "trigger": "slow"}),
        FLEET,
        "degraded",
        f"release v2 is live and not verified: slow. Watch it again with mobius.ops.monitor, or go back with mobius.ops.rollback.{LOG}",
    ),
    (
        facts(watch={"verdict": "inconclusive", "trigger": "superseded by the deploy of v3"}, final={"live": "v3"}),
        FLEET,
        "inconclusive",
        "release v2 was put into service and not verified, and another run has replaced it: v3 serves now (superseded by the "
        f"deploy of v3). Run the same deploy again, when v2 is the one that is wanted.{LOG}",
    ),
    (
        facts(watch={"verdict": "inconclusive", "trigger": "superseded by a new watch"}, final={"live": "v2"}),
        FLEET,
        "inconclusive",
        "release v2 is live and not verified: superseded by a new watch. Watch it again with "
        f"mobius.ops.monitor, or go back with mobius.ops.rollback.{LOG}",
    ),
    (
        facts(final={"live": "v3"}),
        FLEET,
        "failed",
        "release v2 was put into service and verified, and another run has replaced it: v3 serves now. "
        f"Run the same deploy again, when v2 is the one that is wanted.{LOG}",
    ),
    (
        facts(final={"msg": "the records are damaged", "failed": False}),
        FLEET,
        "deployed",
        "release v2 is live and verified (before: v1, downtime 0.4 s, backup /backups/x.zip).",
    ),
    (
        facts(**LIVE, final={"msg": "release r7: expected a record.", "failed": False}),
        FLEET,
        "failed",
        "release v2 was live and verified when this run began, and what serves now is not known: release r7: expected a record.",
    ),
    (
        facts(watch=BAD, final={"live": "v3"}),
        FLEET,
        "rolled_back",
        f"release v2 was rolled back to v1: 3 failed checks. Incident INC-2. Release v3 serves now: another run changed that after this "
        f"one.{LOG}",
    ),
    (
        facts(watch=BAD, final={"live": "v1"}),
        FLEET,
        "rolled_back",
        f"release v2 was rolled back to v1: 3 failed checks. Incident INC-2.{LOG}",
    ),
    (
        facts(watch={**BAD, "verdict": "frozen", "rollback": None}, final={"live": None}),
        FLEET,
        "frozen",
        "release v2 is bad and was not rolled back: 3 failed checks. A person decides; incident INC-2 tells why, mobius.ops.status what "
        f"serves. No release serves now: another run changed that after this one.{LOG}",
    ),
    (
        failed(final={"live": "v3"}),
        FLEET,
        "rolled_back",
        "release v2 was rolled back to v1: Smoke-test: 2 of 9 failed. Incident INC-1. Release v3 serves now: another run changed "
        f"that after this one.{LOG}",
    ),
    (
        {**failed(final={"live": "v3"}, forward_only=True), "went_back": {}},
        FLEET,
        "frozen",
        "release v2 is bad and its migration is forward-only, so it was not rolled back: Smoke-test: 2 of 9 failed. A person decides; "
        f"incident INC-1. Release v3 serves now: another run changed that after this one.{LOG}",
    ),
    (
        {**failed(final={"live": "v1"}), "went_back": {"msg": "there is no lock."}, "left": {"live": "v2"}},
        FLEET,
        "failed",
        "Smoke-test: 2 of 9 failed. there is no lock. Incident INC-1. Release v1 serves now: another run changed that after this "
        f"one.{LOG}",
    ),
    (
        facts(watch={}),
        FLEET,
        "inconclusive",
        "release v2 is live and not verified: too little was measured. Watch it again with "
        f"mobius.ops.monitor, or go back with mobius.ops.rollback.{LOG}",
    ),
]


@pytest.mark.parametrize("given, fleet, outcome, message", CASES)
def test_how_it_ended(given, fleet, outcome, message):
    ended = deploy_end(given, fleet)
    assert (ended["outcome"], ended["message"]) == (outcome, message)
    assert deploy_end(given) == {name: ended[name] for name in ("outcome", "cuts", "writes")}


@pytest.mark.parametrize("verdict, outcome", [(HEALTHY, "deployed"), (BAD, "rolled_back")])
def test_a_failure_to_prune_is_a_note_and_not_the_outcome(verdict, outcome):
    ended = deploy_end(facts(watch=verdict, pruned={"msg": "releases: expected a folder, found a file.", "failed": False}), FLEET)
    assert ended["outcome"] == outcome
    assert ended["message"].endswith(" WARNING: old releases could not be pruned: releases: expected a folder, found a file.")


def test_each_outcome_has_a_case():
    assert {outcome for _given, _fleet, outcome, _message in CASES} == set(OUTCOMES)


def test_what_was_cut_settled_and_found_is_told():
    attempts = [{"message": f"it wrote to /etc/{name}"} for name in "abcd"]
    given = facts(
        switch={**SWITCHED, "cut_text": "One render was cut.", "cut": {"renders": ["r1"]}, "write_attempts": attempts[:2]},
        watch={**BAD, "rollback": {"to": "v1", "cut_text": "Two were cut.", "cut": {"renders": ["r2"]}}, "write_attempts": None},
        smoke={"write_attempts": attempts[1:]},
        settled={"finished": "An earlier switch was undone."},
        page="/srv/page.html",
    )
    ended = deploy_end(given, FLEET)
    assert ended["message"] == (
        f"release v2 was rolled back to v1: 3 failed checks. Incident INC-2. One render was cut. Two were cut. Before that: "
        f"An earlier switch "
        f"was undone.{LOG} WARNING: it wrote to /etc/b. it wrote to /etc/c. it wrote to /etc/d. Page: /srv/page.html"
    )
    assert [one["cut"]["renders"] for one in ended["cuts"]] == [["r1"], ["r2"]]
    assert ended["writes"] == [f"it wrote to /etc/{name}" for name in "bcda"]


def test_what_the_failure_names_already_is_not_named_twice():
    given = failed(smoke={"write_attempts": [{"message": "it wrote to /etc"}]})
    given["failure"] = f"Switch: it wrote to /etc, see {SWITCHED['log']}."
    ended = deploy_end(given, FLEET)
    assert ended["message"] == f"release v2 was rolled back to v1: {given['failure']} Incident INC-1." and ended["writes"] == [
        "it wrote to /etc"
    ]
