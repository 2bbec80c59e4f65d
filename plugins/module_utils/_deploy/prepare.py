# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prepare a release on a target: verify the artifact, unpack it, link what is shared, install its dependencies."""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t

from .._core import fs, immutable
from .._core.errors import InputError, StateError
from .._target import app_path, history, node_runtime, shared_folders
from .._target.layout import COMPONENTS, Layout
from .._target.record_types import Release
from .._target.releases import ReleaseStore
from . import artifacts, assets, dependencies, dependency_bundle
from .deploy_types import Manifest

#: Unpacked bytes per byte of artifact that are asked to be free before unpacking.
SPACE_FACTOR = 6


def is_prepared(store: ReleaseStore, release_id: str, sha256: str) -> bool:
    """Whether the release is there and good: from this very artifact, or from an earlier build of the same source.

    The id names the source, so another build of it never replaces a release that a rollback may need.
    """
    record = store.get(release_id)
    return record is not None and record["status"] != "failed" and (record["sha256"] == sha256 or bool(record["verified"]))


def prepare(store: ReleaseStore, params: t.Mapping[str, t.Any]) -> Release:
    """Make ``releases/<id>`` from an artifact on the target, whole or not at all; its record.

    :param params: ``artifact, sha256, release_id, version, source, npm_ci_args, dependencies, migration, asset_folders`` of the module.
    """
    layout, release_id, artifact = store.layout, params["release_id"], params["artifact"]
    if release_id == store.live():
        raise StateError(f"release {release_id}", "a release that is not live", "the live one", "Deploy another version")
    if not os.path.isfile(artifact):
        raise InputError(f"artifact {artifact}", "a file on the target", "none", "Copy it there first")
    artifacts.verify_file(artifact, params["sha256"])
    manifest = artifacts.read_manifest(artifact)
    if manifest is None:
        raise InputError(f"artifact {artifact}", "a manifest in it", "none", "Build it with mobius.ops.release_artifact")
    fs.require_space(layout.root, os.path.getsize(artifact) * SPACE_FACTOR, f"release {release_id}")
    with store.locked("prepare"):
        store.sweep()
        return _make(store, params, manifest)


def _make(store: ReleaseStore, params: t.Mapping[str, t.Any], manifest: Manifest) -> Release:
    layout, release_id = store.layout, params["release_id"]
    work = layout.path("releases", f".preparing-{release_id}")
    try:
        with fs.open_umask():
            _fill(layout, work, manifest, params)
        before = store.get(release_id)
        migrated = before.get("migrated") if before else None  # it is about the data, and that stays
        record = store.new_record(
            id=release_id,
            version=params["version"],
            source=params["source"],
            sha256=params["sha256"],
            migration=params["migration"],
            committed=manifest.get("committed"),
            **({"migrated": migrated} if migrated else {}),
        )
        fs.write_json(os.path.join(work, ".release.json"), record)
        if os.path.isdir(layout.release(release_id)):
            store.remove(release_id)
        os.rename(work, layout.release(release_id))
        fs.fsync_dir(layout.releases)
        assets.share(layout, release_id, store.ids(), params["asset_folders"])
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    history.record(layout, "prepared", release=release_id, version=params["version"], sha256=params["sha256"])
    return record


def _fill(layout: Layout, work: str, manifest: Manifest, params: t.Mapping[str, t.Any]) -> None:
    """The release's folder with all that it needs; the service user has to be able to read it."""
    os.mkdir(work)
    artifacts.unpack(params["artifact"], work)
    artifacts.compare(work, manifest)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(work, assets.OWN))  # the list is ours to make
    _link_dependencies(layout, work, params)  # before the links to the data: install scripts have no business there
    entries = shared_folders.load(layout)
    for component in filter(lambda name: os.path.isdir(layout.component(name)), COMPONENTS):
        shared_folders.complete(layout.component(component), entries, component)
    link_shared(layout, work)


def link_shared(layout: Layout, folder: str) -> None:
    """Links from the release to what it shares with all others: absolute, for the service sees the release at another place.

    :raises InputError: when the artifact has something else than a folder there.
    """
    entries = shared_folders.load(layout)
    for inside in shared_folders.links(layout, entries):
        path = os.path.join(folder, inside)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)  # the artifact's own files there, which the application would not see
        elif os.path.lexists(path):
            raise InputError(
                f"artifact, {inside}",
                "a folder or nothing, for it is a shared folder",
                "a file or link",
                "Remove it from the source, or the folder from mobius_shared_folders",
            )
    app_path.mend(layout, folder, entries)


def _link_dependencies(layout: Layout, folder: str, params: t.Mapping[str, t.Any]) -> None:
    shipped = dependency_bundle.Shipped(**params["dependencies"]) if params["dependencies"] else None
    dependencies.provide(
        folder,
        layout.deps,
        dependencies.Npm(params["npm_ci_args"]),
        shipped.fill if shipped else None,
        shipped.runtime if shipped else None,
    )
    if shipped:
        shipped.require_fit(node_runtime.of_release(folder))


def prune(store: ReleaseStore, keep: int) -> tuple[list[str], list[str]]:
    """Remove the releases that retention gives up, and the dependencies that no release uses any more. What cannot be removed stays.

    :returns: the releases that went, and a sentence for each of which something stays.
    """
    gone, held = [], []
    for release_id in store.prunable(keep):
        try:
            store.remove(release_id)
            gone.append(release_id)
        except OSError as error:  # all others go; the space is missing later, and nothing now
            told = immutable.stays(store.layout.release(release_id))
            held.append(told or f"release {release_id} was not removed whole: {error}.")
    held += dependencies.remove_unused(store.layout.deps, [store.layout.release(name) for name in store.ids()])
    return gone, held + store.finish_removing()
