"""What the tests of the scenarios cluster and faults share; the latter has this file by a link."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / ".build" / "collections"))  # what support imports of the collection
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))

from support.cluster import Cluster


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The hosts of the scenario that the test lies in."""
    return Cluster(request.path.parents[1].name)


@pytest.fixture
def good(cluster: Cluster) -> str:
    """The release that all of them serve; incidents of earlier tests are put away."""
    (release,) = cluster.live()
    for box in cluster.boxes:
        box.run("rm -f /opt/mobius/incidents/*")
    return release
