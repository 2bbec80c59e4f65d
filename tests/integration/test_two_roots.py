"""Two environments on one root, and two roots with one user."""

from __future__ import annotations

import os

import pytest


def test_another_environment_on_a_root_is_refused(shared_served, says):
    tree = shared_served.tree()
    for playbook in ("setup", "rollback"):
        result = shared_served.play(playbook, mobius_env="demo", mobius_release_id=shared_served.live())
        sentence = f"root {shared_served.root}: expected the environment that it was set up for (local), found demo."
        assert result.status == 2 and says(result, sentence), result.output
    assert shared_served.tree() == tree and shared_served.play("status").outcome == "well"


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes users")
def test_a_user_of_another_root_keeps_its_home_folder(bare):
    """usermod refuses to move it as long as a process of the user runs."""
    options = {"mobius_become": True, "mobius_user": "nobody", "mobius_packages": [], "mobius_root": str(bare.folder / "second")}
    result = bare.play("setup", "--check", **options)
    assert result.outcome == "planned", result.output
    task = result.output.partition("Have the service user")[2].partition("TASK [")[0]
    assert "ok: [" in task and "changed: [" not in task, result.output
