"""What the tests of the cluster share."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))

from support.cluster import Cluster


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def good(cluster: Cluster) -> str:
    """The release that all of them serve; incidents of earlier tests are put away."""
    (release,) = cluster.live()
    for box in cluster.boxes:
        box.run("rm -f /opt/mobius/incidents/*")
    return release
