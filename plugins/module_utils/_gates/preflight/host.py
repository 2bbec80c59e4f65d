# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of a preflight that is about a host: access, programs, port, disk, memory, clock, the last backup."""

from __future__ import annotations

import os
import re
import shutil
import typing as t

from ..._backup import catalog as backup_catalog
from ..._backup import purposes as backup_purposes
from ..._backup import signature
from ..._core import clock as core_clock
from ..._core import commands, wording
from ..._core.errors import InputError, OpsError
from ..._jobs import ffmpeg
from ..._service import registry as service_registry
from ..._service.slots import SlottedService
from ..._target import deploy_lock, json_stores, node_runtime
from ..._target.layout import Layout, expand_components
from ..._target.releases import ReleaseStore
from .table import Row, of_error, row, skipped

MEMINFO = "/proc/meminfo"
_VERSION = re.compile(r"\d+(?:\.\d+)*")
#: Seconds that a program has to print its version; npm took 30 s on a host at a load of twelve a core.
PATIENCE = 120.0


def write(layout: Layout) -> Row:
    """Whether the user may write where records lie."""
    writable = os.access(layout.state, os.W_OK)
    return row(
        "write",
        writable,
        f"the user may {'' if writable else 'not '}write to {layout.state}",
        f"write access to {layout.state}",
        "run it as the user who ran mobius.ops.setup",
    )


def version(text: str) -> tuple[int, ...]:
    """The first version number in a text, such as ``(20, 1, 0)``; empty when there is none."""
    match = _VERSION.search(text)
    return tuple(map(int, match.group().split("."))) if match else ()


def _at_least(found: tuple[int, ...], least: tuple[int, ...]) -> bool:
    width = max(len(found), len(least))
    return found + (0,) * (width - len(found)) >= least + (0,) * (width - len(least))


def program(name: str, argument: str, least: str) -> Row:
    """Whether a program is there, runs, and is new enough."""
    expected = f"version {least} or newer" if least else "a program that runs"
    if least and not version(least):
        raise InputError(f"mobius_min_versions of {name}", "a version such as 18.0", repr(least), "Correct it")
    path = shutil.which(name)
    if not path:
        return row(name, False, f"no program {name} on the PATH", expected, f"install {name} (mobius.ops.setup does)")
    try:
        done = commands.capture([path, argument], what=f"version of {name}", timeout=PATIENCE)
    except OpsError as error:
        return of_error(name, error)
    first = (done.stdout.splitlines() or [""])[0].split(" Copyright ", 1)[0][:100]
    if done.returncode or (least and not version(first)):
        return row(
            name,
            False,
            commands.ending(done) if done.returncode else f"no version in {first!r}",
            expected,
            f"repair the installation of {name}",
        )
    return row(name, not least or _at_least(version(first), version(least)), first, expected, f"install {name} {least} or newer")


def encoders(wanted: list[str]) -> Row:
    """Whether ffmpeg has the encoders that renders need, and what each of them makes of a fifth of a second can be decoded."""
    if not wanted or not shutil.which("ffmpeg"):
        return skipped("encoders", "there is no ffmpeg to ask" if wanted else "none is asked for")
    expected, repair = "ffmpeg with " + ", ".join(wanted), "repair the installation of ffmpeg"
    try:
        seen = ffmpeg.able("ffmpeg", {"encoders": wanted})  # another row asks for its version
    except OpsError as error:
        return row("encoders", False, f"ffmpeg: {error.found or error}", expected, repair)
    missing = seen["missing"]["encoders"]
    if missing:
        return row("encoders", False, "missing: " + ", ".join(missing), expected, "install an ffmpeg that has them")
    broken = [f"{one['encoder']} fails: {one['error']}" for one in seen["encodes"] if one["error"]]
    said = "; ".join(broken) or ", ".join(wanted) + (" encoded a moment of picture and sound" if len(wanted) > 1 else " encoded a moment")
    return row("encoders", not broken, said, expected, repair)


def port(layout: Layout, name: str, wanted: int | None) -> Row:
    """Whether the service was set up for the wanted port, and no other program has it."""
    expected = f"{'its port' if wanted is None else wanted} to be free or the service's own"
    try:
        service = service_registry.load(layout, name)
        service.require_port()
    except OpsError as error:
        return of_error("port", error)
    if wanted not in (None, service.port):
        return row(
            "port",
            False,
            f"the service was set up for port {service.port}, not {wanted}",
            expected,
            "run mobius.ops.setup with the new mobius_port",
        )
    return row("port", True, f"{service.port} is free or the service's own", expected, "")


def env_file(layout: Layout, name: str) -> Row:
    """Whether the service can be started with its ``.env``."""
    try:
        service = service_registry.load(layout, name)
    except OpsError as error:
        return skipped("env_file", str(error))
    try:
        service.require_environment()
    except OpsError as error:
        return of_error("env_file", error)
    path = service.spec["env_file"]
    found = path if os.path.exists(path) else f"none at {path}"
    return row("env_file", True, found, "a file that the application reads whole, or none", "")


def proxy(layout: Layout, name: str) -> Row:
    """Whether the proxy runs with the configuration that the service was set up with."""
    try:
        service = service_registry.load(layout, name)
    except OpsError as error:
        return skipped("proxy", str(error))
    if not isinstance(service, SlottedService):
        return skipped("proxy", "mobius_proxy_port is 0")
    expected, remedy = "HAProxy, running with the configuration of the last setup", "run mobius.ops.setup"
    if not service.proxy.answers():
        return row("proxy", False, f"nobody answers on the socket in {service.proxy.folder}", expected, remedy)
    of_before = bool(service.proxy.current()) and not service.proxy.place.is_taken()  # the deploy itself moves that
    if service.proxy.differs() and not of_before:
        return row("proxy", False, f"another configuration in {service.proxy.folder}", expected, remedy)
    return row("proxy", True, f"port {service.proxy.settings['port']}, to the instance on port {service.proxy.live()}", expected, "")


def lock(layout: Layout, look: bool) -> Row:
    """Whether nobody else deploys. An expired lock can be taken over."""
    if not look:
        return skipped("lock", "the deploy takes it itself")
    held, expected = deploy_lock.DeployLock(layout).look(), "a deploy lock that nobody holds"
    if held is None or held.get("expired"):
        return row("lock", True, "free" if held is None else f"left behind by {held['owner']}, expired", expected, "")
    found = held.get("fault") or f"held by {held['owner']} on {held['host']} since {held['since']} for '{held['reason']}'"
    return row("lock", False, found, expected, "wait, or give mobius_lock_wait; mobius.ops.force_unlock when that run is dead")


def stores(layout: Layout) -> Row:
    """Whether the application can read each JSON file in which it keeps its state, and what its next start corrects in them."""
    found, expected = json_stores.settled(layout), "JSON stores that are whole"
    if not found:
        return skipped("stores", f"no JSON file in {layout.component('database')}")
    torn = [f"{store.name}: {store.torn}" for store in found if store.torn]
    stale = [
        f"{store.name} has {store.stale} paths below releases/, which the next start of the service corrects"
        for store in found
        if store.stale
    ]
    whole = f"{', '.join(store.name for store in found)}: whole" if not torn else "; ".join(torn)
    return row(
        "stores",
        not torn,
        "; ".join([whole, *stale]),
        expected,
        "restore them (mobius.ops.restore) or repair them: the application would begin with nothing and overwrite them",
    )


def dependencies(layout: Layout) -> Row:
    """Whether the host's Node can load the live release's dependencies: a restart or a rollback needs them."""
    store = ReleaseStore(layout)
    live = store.live()
    if live is None:
        return skipped("dependencies", "no release is live yet")
    record = node_runtime.of_release(layout.release(live))
    if record is None:
        return skipped("dependencies", f"release {live} has no record of the Node that its dependencies are for")
    wrong = node_runtime.misfit(record)
    found = f"release {live}: {wrong}" if wrong else f"those of release {live} fit this host's Node"
    return row(
        "dependencies",
        not wrong,
        found,
        "dependencies of the live release that this host's Node can load",
        "install the former Node again; or deploy with mobius_preflight_skip [dependencies]: the new release gets dependencies for "
        "this Node, but when it fails nothing can go back",
    )


def disk(layout: Layout, megabytes: int) -> Row:
    """Whether enough of the disk is free."""
    if megabytes <= 0:
        return skipped("disk", "mobius_min_free_mb is 0")
    free = shutil.disk_usage(layout.root).free
    found = f"{wording.human_size(free)} free on the file system of {layout.root}"
    return row(
        "disk", free >= megabytes * 10**6, found, f"{megabytes} MB free", f"free some space: {megabytes} MB are wanted (mobius_min_free_mb)"
    )


def memory(megabytes: int, meminfo: str = MEMINFO) -> Row:
    """Whether enough memory can be had without swapping."""
    if megabytes <= 0:
        return skipped("memory", "mobius_min_memory_mb is 0")
    remedy = f"end what takes it (ps aux --sort=-rss): {megabytes} MB are wanted (mobius_min_memory_mb)"
    with open(meminfo, encoding="ascii", errors="replace") as stream:
        match = re.search(r"^MemAvailable:\s+(\d+) kB", stream.read(), re.MULTILINE)
    if not match:
        return row("memory", False, f"{meminfo} does not tell", f"{megabytes} MB available", remedy)
    size = int(match.group(1)) * 1024
    return row("memory", size >= megabytes * 10**6, f"{wording.human_size(size)} available", f"{megabytes} MB available", remedy)


def clock(skew: float | None, limit: float) -> Row:
    """Whether the target's clock agrees with the controller's.

    :param skew: seconds that it is surely ahead (behind below 0), ``None`` when it could not be measured.
    """
    if limit <= 0:
        return skipped("clock", "mobius_max_clock_skew is 0")
    expected = f"{limit:g} s at most from the controller's"
    if skew is None:
        return row("clock", False, "it could not be measured", expected, "look at the target's clock: date -u")
    found = f"{abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}" if abs(skew) >= 0.05 else "no difference"
    return row("clock", abs(skew) <= limit, found, expected, "let both keep time (timedatectl set-ntp true, chrony)")


def backup(layout: Layout, folder: str, env: str, components: list[str], max_age: float, policy: signature.Policy | None = None) -> Row:
    """Whether the newest archive that holds all *components* is verified, and at most *max_age* hours old. It is read for that.

    Safety backups of restores do not count. A host that serves nothing yet has nothing to lose, and needs none.
    """
    if max_age <= 0:
        return skipped("backup", "mobius_preflight_backup_max_age is 0")
    expected = f"a verified backup of {', '.join(components)}, {max_age:g} h old at most"
    remedy = "make one: mobius.ops.backup"
    try:
        archives = backup_catalog.find(folder, env, layout)
        newest = next(backup_catalog.telling_of(archives, expand_components(components), backup_purposes.Past(layout)), None)
        if newest is None and not os.path.lexists(layout.current):
            return skipped("backup", "no release is live yet, so there is nothing to lose")
        if newest is None:
            return row("backup", False, f"none of {env} in {folder}", expected, remedy)
        [facts] = backup_catalog.describe([newest], "checksum", policy)
    except OpsError as error:
        return of_error("backup", error)
    age = (core_clock.now() - core_clock.parse(newest.created)).total_seconds()
    reason = f" ({facts['reason']})" if facts["reason"] else ""
    old = "dated in the future" if facts["future"] else f"{wording.duration(max(0.0, age))} old"
    well = facts["status"] == "verified" and not facts["future"] and age <= max_age * 3600
    return row("backup", well, f"{newest.archive}, {old}, {facts['status']}{reason}", expected, remedy)


def check(layout: Layout, params: t.Mapping[str, t.Any]) -> list[Row]:
    """Every check of the host."""
    least = {str(name): str(value) for name, value in params["min_versions"].items()}
    programs = {**dict.fromkeys(least, "--version"), **params["programs"]}
    rows = [write(layout)]
    rows += [program(name, str(argument), least.get(name, "")) for name, argument in programs.items()]
    rows += [
        encoders(params["encoders"]),
        port(layout, params["service"], params["port"]),
        env_file(layout, params["service"]),
        stores(layout),
        dependencies(layout),
        disk(layout, params["min_free_mb"]),
        memory(params["min_memory_mb"]),
        clock(params["clock_skew"], params["max_clock_skew"]),
    ]
    policy = signature.policy(params["allowed_signers"], params["signer"])
    folder = params["backup_dir"] or layout.backups
    return [
        *rows,
        backup(layout, folder, params["env"], params["components"], params["backup_max_age"], policy),
        proxy(layout, params["service"]),
        lock(layout, params["lock"]),
    ]
