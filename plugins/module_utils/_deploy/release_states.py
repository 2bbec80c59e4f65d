# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The states that a release can be brought into: prepared, active, verified, failed, rolled back, settled, pruned."""

from __future__ import annotations

import typing as t

from .._core.errors import InputError, OpsError
from .._observe import health
from .._service import draining, ongoing_work
from .._service import registry as service_registry
from .._service.draining import Drain
from .._target import deploy_lock, switch_journal
from .._target.layout import Layout
from .._target.record_types import Release
from .._target.releases import ReleaseStore
from . import activation, prepare, ways
from .switch import Retired, Way

#: Seconds that an instance is given to finish before it is stopped, when nobody waits for longer.
PATIENCE = 10


class Releases:
    """The releases of a root, and what is asked of them; each state is a method that tells whether it changes anything, and the facts."""

    def __init__(self, params: t.Mapping[str, t.Any], check_mode: bool) -> None:
        self.params = params
        self.check_mode = check_mode
        self.store = ReleaseStore(Layout(params["root"]))
        self.store.layout.require()
        self.service = service_registry.load_deployed(self.store.layout, params["service"]) if params["service"] else None
        self.checks = health.normalize_all(params["checks"], params["headers"], params["secret_headers"])
        #: The switch that was interrupted, if one was.
        self.unfinished = switch_journal.unfinished(self.store.layout)

    def prepared(self) -> tuple[bool, dict[str, object]]:
        """Unpack, unless it is there."""
        release_id = self.params["release_id"]
        if prepare.is_prepared(self.store, release_id, self.params["sha256"]):
            return self._migrates(self.store.require(release_id))
        if self.check_mode:
            return True, {"release": self.store.new_record(id=release_id, version=self.params["version"])}
        return True, {"release": prepare.prepare(self.store, self.params)}

    def _migrates(self, record: Release) -> tuple[bool, dict[str, object]]:
        """Keep in the record which kind of migration the release brings this time."""
        differs = record["migration"] != self.params["migration"]
        record = {**record, "migration": self.params["migration"]}
        if differs and not self.check_mode:
            self.store.save(record)
        return differs, {"release": record}

    def active(self) -> tuple[bool, dict[str, object]]:
        """Switch, unless it serves."""
        release_id = self.params["release_id"]
        record = self.store.get(release_id)
        if record is None and self.check_mode:
            return True, {"release": {"id": release_id, "status": "active"}}
        record = self.store.require(release_id)
        again = record["status"] == "failed"  # there was no other one to go back to, so it serves; now it is tried once more
        serves = not self.unfinished and self._serves(release_id)
        if serves and not again:
            return False, {"release": record}
        if self.check_mode:
            return True, {"release": {**record, "status": "active"}}
        if serves:
            return True, {"release": self.store.mark(release_id, "active", "it serves, and is tried once more")}
        facts = activation.activate(self._way(), release_id, self.params["backup"])
        return True, {**facts, "cut_text": ongoing_work.lost(facts.get("cut"))}

    def _way(self) -> Way:
        """How this call switches the service."""
        return ways.of(self.store, self.service, self.checks, self.params["ready_timeout"], self._drain())

    def _drain(self) -> Drain | None:
        """What this call says of work that runs, and the service's definition where it says nothing."""
        if not self.service:
            return None
        rules = draining.of_definition(self.service)
        given = {name: self.params[f"drain_{name}"] for name in ("timeout", "force") if self.params[f"drain_{name}"] is not None}
        return rules._replace(**given)

    def _serves(self, release_id: str) -> bool:
        """Whether there is nothing to switch; requests that an earlier switch has left waiting go on then."""
        way = self._way()
        serves = way.serves(release_id)
        if serves and not self.check_mode:
            way.let_go()
        return serves

    def _marked(self, status: str) -> tuple[bool, dict[str, object]]:
        record = self.store.require(self.params["release_id"] or self.store.live() or "none")
        if record["status"] == status:
            return False, {"release": record}
        if self.check_mode:
            return True, {"release": {**record, "status": status}}
        return True, {"release": self.store.mark(record["id"], status, self.params["why"])}

    def verified(self) -> tuple[bool, dict[str, object]]:
        """Mark as good."""
        return self._marked("verified")

    def failed(self) -> tuple[bool, dict[str, object]]:
        """Mark as bad."""
        return self._marked("failed")

    def rolled_back(self) -> tuple[bool, dict[str, object]]:
        """Go back, unless the named release serves already."""
        named = self.params["release_id"]
        if named and not self.unfinished and self._serves(self.store.require(named)["id"]):
            return False, {"release": self.store.get(named)}
        if self.check_mode:
            return True, {"release": activation.choose_target(self.store, named), "work": self._work(), **self._would_finish()}
        facts = activation.roll_back(self._way(), self.params["why"], named)
        retired = self._retired() if self.params["retire"] else None
        cut = retired.cut.facts() if retired and retired.cut else facts.get("cut")
        return True, {
            **facts,
            "release": facts["target"],
            "retired": retired.release if retired else None,
            "cut": cut,
            "cut_text": ongoing_work.lost(cut),
        }

    def _would_finish(self) -> dict[str, object]:
        """What check mode says of a switch that was interrupted."""
        journal = switch_journal.peek(self.store.layout)
        if journal is None or (self.unfinished or {}).get("running"):
            return {}
        found: dict[str, object] = {"finished": f"would finish {journal.words()} that was interrupted"}
        return {**found, "previous": journal.target if journal.kind == "activation" else journal.source}

    def settled(self) -> tuple[bool, dict[str, object]]:
        """Finish a switch that was interrupted."""
        live, wanted = self.store.live(), self.params["release_id"]
        journal = switch_journal.peek(self.store.layout)
        if journal is None or (journal.kind == "activation" and journal.target == wanted):
            return False, {"release": self.store.get(live) if live else None}
        if self.check_mode:
            leads = journal.leads_to(live) or live
            return True, {"release": self.store.get(leads) if leads else None, **self._would_finish()}
        told = activation.settle(self._way(), wanted)
        live = self.store.live()
        return True, {"release": self.store.get(live) if live else None, "finished": " ".join(told)}

    def _retired(self) -> Retired | None:
        """Stop the instance of before, unless it has long work that may not be cut."""
        try:
            return self._way().retire(PATIENCE, bool(self.params["drain_force"]))
        except OpsError:
            return None

    def _work(self) -> dict[str, object]:
        """What the instance that serves works on now."""
        return (ongoing_work.of(self.service, self.service.serving()) if self.service else ongoing_work.Work()).facts()

    def pruned(self) -> tuple[bool, dict[str, object]]:
        """Remove what retention gives up."""
        if self.params["keep"] < 0:
            raise InputError("keep", "0 or more releases", str(self.params["keep"]), "Correct mobius_keep_releases")
        if deploy_lock.DeployLock(self.store.layout).look():
            return False, {"removed": []}  # whoever deploys now may need what nothing uses yet, and prunes at the end
        if self.check_mode:
            doomed = self.store.prunable(self.params["keep"])
            return bool(doomed), {"removed": doomed}
        gone, stuck = prepare.prune(self.store, self.params["keep"])
        return bool(gone), {"removed": gone, "warnings": stuck}


class Held(t.TypedDict):
    """The live release, and the status of each."""

    live: str | None
    releases: dict[str, str]


def expected(before: Held, state: str, result: t.Mapping[str, t.Any]) -> Held:
    """What check mode says the state would be."""
    if state == "pruned":
        return {**before, "releases": {name: status for name, status in before["releases"].items() if name not in result["removed"]}}
    name = result["release"]["id"]
    live = name if state in ("active", "rolled_back", "settled") else before["live"]
    releases = {**before["releases"], name: result["release"]["status"]}
    left = result["previous"] if result.get("finished") else before["live"]
    if state in ("rolled_back", "settled") and left not in (None, name):
        releases[left] = "rolled_back"
    return {"live": live, "releases": releases}
