"""Makes `ansible_collections.mobius.ops` importable from the checkout, at any path."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLLECTIONS = ROOT / ".build" / "collections"


def _collections_path() -> str:
    """The collections path that holds this checkout: the link that `make setup` makes, or where it lies already."""
    if ROOT.parts[-3:] == ("ansible_collections", "mobius", "ops"):
        return str(ROOT.parents[2])
    link = COLLECTIONS / "ansible_collections" / "mobius" / "ops"
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):  # made already, perhaps by another pytest worker
        os.symlink(os.path.relpath(ROOT, link.parent), link)
    return str(COLLECTIONS)


def _install_finder(path: str) -> None:
    """Imports collections as ansible-core does, so that both sides see the same modules."""
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

    _AnsibleCollectionFinder(paths=[path])._install()
    sys.path.insert(0, path)  # for Python processes that tests start with this sys.path


sys.path.insert(0, str(ROOT / "tests"))  # for tests/support
_install_finder(_collections_path())

from support.reporting import pytest_runtest_makereport, pytest_sessionstart, pytest_terminal_summary  # noqa: E402, F401 (hooks)
from support.scheduling import pytest_collection_modifyitems, pytest_xdist_make_scheduler  # noqa: E402, F401 (hooks)
from support.temporary import pytest_configure  # noqa: E402, F401 (hook)
