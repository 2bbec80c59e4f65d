# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups as the options of the modules ask for them: one way for modules, and for the timers on a host."""

from __future__ import annotations

import itertools
import typing as t

from .._core import wording
from .._core.errors import InputError
from .._target import records, restore_journal
from .._target.layout import Layout, check_name, expand_components
from .._target.progress import Meter
from . import catalog, create, purposes, retention, signature
from .archive import paths as archive_paths
from .backup_types import Listing, Made

Options = t.Mapping[str, t.Any]
Told = t.TypeVar("Told")


def backup_request(options: Options, layout: Layout) -> create.Request:
    """What the options of ``backup`` ask for. :raises InputError: when one has a wrong value."""
    if not 1 <= options["level"] <= 9:
        raise InputError("level", "a number from 1 to 9", str(options["level"]), "Correct it")
    wrong = [path for path in options["never_reuse"] if archive_paths.wrong_with(path.rstrip("/"))]
    if wrong:
        raise InputError("never_reuse", "paths in the archive, such as uploads/maps", repr(wrong[0]), "Correct it")
    if options["full_every"] < 0:
        raise InputError("full_every", "a number of days from 0", str(options["full_every"]), "Correct it")
    return create.Request(
        env=check_name(options["env"], "env"),
        components=expand_components(options["components"]),
        dest=options["dest"] or layout.backups,
        level=options["level"],
        full_every=options["full_every"],
        never_reuse=tuple(path.rstrip("/") for path in options["never_reuse"]),
        allow_changed=options["allow_changed"],
        allow_shrunk=options["allow_shrunk"],
        sign_key=options["sign_key"],
        purpose=options["purpose"],
        why=options["why"],
    )


def back_up(layout: Layout, request: create.Request, meter: Meter) -> Made:
    """Make a backup. :raises OpsError: when it cannot be made as it was asked for."""
    with restore_journal.locked(layout):
        restore_journal.refuse_interrupted(layout)
        return create.create(layout, request, meter)


def prune_request(options: Options, layout: Layout) -> retention.Request:
    """What the options of ``backup_prune`` ask for. :raises InputError: when one has a wrong value."""
    return retention.Request(
        env=check_name(options["env"], "env"),
        dest=options["dest"] or layout.backups,
        verify=options["verify"],
        keep=retention.Keep(*(options[f"keep_{rule}"] for rule in ("last", "daily", "weekly", "monthly"))),
        policy=signature.policy(options["allowed_signers"], options["signer"]),
    )


def prune(
    layout: Layout, request: retention.Request, meter: Meter, tell: t.Callable[[retention.Plan], Told], check_mode: bool = False
) -> Told:
    """Remove the archives that no rule keeps.

    :param tell: makes of the plan what is returned; before anything is removed, for the sizes of files are among it.
    """
    with restore_journal.locked(layout), retention.alone(request.dest):
        restore_journal.refuse_interrupted(layout)
        planned = retention.plan(layout, request, meter)
        told = tell(planned)
        if not check_mode:
            retention.apply(layout, request, planned)
    return told


def sentence(planned: retention.Plan, check_mode: bool = False) -> str:
    """What came of pruning."""
    number = len(planned.removed)
    text = (
        f"{number} archive{'' if number == 1 else 's'} {'would be ' if check_mode else ''}removed "
        f"({wording.human_size(planned.freed)}), {len(planned.kept)} kept"
    )
    text += f", {len(planned.unsound)} not verified and left alone" if planned.unsound else ""
    return text + (f", {len(planned.held)} held" if planned.held else "")


def look(options: Options, meter: Meter) -> Listing:
    """What ``backup_info`` returns: the archives, and whether they are well. :raises InputError: when an option has a wrong value."""
    limit = options["limit"]
    if limit is not None and limit < 1:
        raise InputError("limit", "1 or more", str(limit), "Correct it, or leave it out to list all")
    if options["max_age"] < 0:
        raise InputError("max_age", "0 or more hours", f"{options['max_age']:g}", "Correct it")
    policy = signature.policy(options["allowed_signers"], options["signer"])
    layout = Layout(options["root"]) if options["root"] else None
    findings = records.Findings()
    past = purposes.Past(layout, findings)
    dest = options["dest"] or t.cast(Layout, layout).backups
    backups: t.Iterable[catalog.Backup] = catalog.find(dest, options["env"], layout)
    if options["components"] or options["skip_safety"]:
        components = expand_components(options["components"]) if options["components"] else []
        backups = catalog.telling_of(backups, components, past if options["skip_safety"] else None)
    described = catalog.describe(list(itertools.islice(backups, limit)), options["verify"], policy, meter, past)
    found: Listing = {"backups": described, "findings": findings.told}
    return found if options["verify"] == "none" else {**found, **catalog.verdict(described, options["max_age"])}
