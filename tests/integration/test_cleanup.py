"""A clean-up of a running application by the playbook: what it names stays, what it gave up goes, and comes back."""

from __future__ import annotations

import os

import pytest
from support.application import png

pytestmark = pytest.mark.xdist_group("backups")

OLD = 10**18


def test_old_uploads_go_and_come_back(shared_served, says):
    site = shared_served
    site.client().upload("board.png", png())
    uploads = site.root / "shared" / "uploads"
    named = {path.name for path in uploads.iterdir() if path.is_file()}
    (uploads / "forgotten.png").write_bytes(b"nobody names it")
    (site.root / "shared" / "out" / "reel.tmp").write_bytes(b"half")
    for path in [*uploads.rglob("*"), site.root / "shared" / "out" / "reel.tmp"]:
        if path.is_file():
            os.utime(path, ns=(OLD, OLD))
    settings = {"mobius_cleanup_grace": 0, "mobius_cleanup_kinds": ["uploads", "temporary"]}

    refused = site.play("cleanup", mobius_cleanup_quarantine=str(uploads / "q"))
    assert (refused.status, refused.outcome) == (2, "not_cleaned") and says(refused, "outside of the application's folders"), refused.output

    assert site.play("backup").outcome == "backed_up"
    planned = site.play("cleanup", **settings)
    assert (planned.status, planned.outcome, planned.changed()) == (0, "planned", 0), planned.output
    assert says(planned, "2 files (19 B) would be moved into quarantine;") and says(planned, "a database or a JSON store names it")

    done = site.play("cleanup", mobius_cleanup_state="cleaned", **settings)
    assert (done.status, done.outcome) == (0, "cleaned"), done.output
    assert done.stats["mobius_cleanup_bytes"] == planned.stats["mobius_cleanup_bytes"]
    assert {path.name for path in uploads.iterdir() if path.is_file()} == named and named
    assert site.history()[-1]["what"] == "cleaned" and site.history()[-1]["bytes"] == 19

    back = site.play("cleanup", mobius_cleanup_state="restored", mobius_cleanup_paths=[done.stats["mobius_cleanup_run"]])
    assert (back.status, back.outcome) == (0, "restored") and says(back, "2 files (19 B) moved back."), back.output
    assert (uploads / "forgotten.png").read_bytes() == b"nobody names it" and (uploads / "forgotten.png").stat().st_mtime_ns == OLD
