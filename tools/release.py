"""Makes a release: version, changelog, tarball, and Galaxy's own check of the tarball.

Usage: release.py VERSION            make it; commit and tag it then
       release.py --check [VERSION]  the same in .build/release only, with 1.0.0 where the version is older than that
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import tree
import venvs
import yaml

ROOT = tree.ROOT
WORK = ROOT / ".build" / "release"
DIST = ROOT / ".build" / "dist"
BIN = Path(sys.executable).parent  # of .venv
SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
#: What Galaxy and Automation Hub ask for, and one thing more than they do: a version that promises to be stable.
IMPORTER = """[galaxy-importer]
CHECK_REQUIRED_TAGS = True
REQUIRE_V1_OR_GREATER = True
RUN_ANSIBLE_LINT = True
RUN_ANSIBLE_TEST = False
RUN_FLAKE8 = False
"""
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s]+)\)")


def number(version: str) -> tuple[int, ...]:
    """A version as numbers that can be compared."""
    return tuple(int(part) for part in version.split("."))


def galaxy(folder: Path) -> dict[str, str]:
    """The collection's metadata."""
    found: dict[str, str] = yaml.safe_load((folder / "galaxy.yml").read_text(encoding="utf-8"))
    return found


def refusal(version: str) -> str:
    """Why this version cannot be released from this checkout; empty when it can."""
    released = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))["releases"]
    newest = max(released, key=number, default="0.0.0")
    if not SEMANTIC.fullmatch(version):
        return f"version: expected three numbers with dots, such as 1.0.0, found {version!r}. Correct it."
    if number(version) <= number(newest):
        return f"version: expected one after {newest}, the newest release, found {version}. Give a newer one."
    if "//example.org/" in galaxy(ROOT)["repository"]:
        return (
            "galaxy.yml: repository: expected the address where the source lies, found a placeholder. "
            "Write the real addresses into repository, documentation, homepage and issues."
        )
    changed = subprocess.run(["git", "-C", str(ROOT), "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    if changed:
        return f"checkout: expected no uncommitted change, found {len(changed.splitlines())}, such as {changed.split()[1]}. Commit them."
    return ""


def absolute(text: str, page: str, address: str) -> str:
    """A page with links that lead into the repository, for Galaxy shows pages where no other file is.

    :param page: its path below the repository.
    :param address: where the files of this version lie.
    """

    def lead(found: re.Match[str]) -> str:
        path, mark, anchor = found[1].partition("#")
        return f"]({address}/{os.path.normpath(os.path.join(os.path.dirname(page), path))}{mark}{anchor})"

    return LINK.sub(lead, text)


def prepare(version: str) -> Path:
    """The tree of the release: version, changelog, links."""
    shutil.rmtree(WORK, ignore_errors=True)
    work = tree.copy(WORK)
    text = (work / "galaxy.yml").read_text(encoding="utf-8")
    (work / "galaxy.yml").write_text(re.sub(r"^version: .*$", f"version: {version}", text, flags=re.M), encoding="utf-8")
    paths = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(WORK), "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}"}
    venvs.run(f"{BIN}/antsibull-changelog", "release", "--version", version, cwd=work, env=paths)
    return work


def build(work: Path, version: str) -> Path:
    """The tarball, with its checksum beside it."""
    address = f"{galaxy(work)['repository']}/blob/{version}"
    pages = [work / "README.md", *work.glob("roles/*/README.md")]
    kept = {page: page.read_text(encoding="utf-8") for page in pages}
    for page, text in kept.items():
        page.write_text(absolute(text, str(page.relative_to(work)), address), encoding="utf-8")
    venvs.run(f"{BIN}/ansible-galaxy", "collection", "build", "--force", "--output-path", str(WORK), str(work))
    for page, text in kept.items():
        page.write_text(text, encoding="utf-8")
    tarball = WORK / f"mobius-ops-{version}.tar.gz"
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    tarball.with_name(f"{tarball.name}.sha256").write_text(f"{digest}  {tarball.name}\n", encoding="utf-8")
    return tarball


def imported(tarball: Path) -> None:
    """Let Galaxy's importer look at the tarball, as strictly as it can."""
    tools = venvs.bring(ROOT / ".build" / "galaxy-importer", ROOT / "tools" / "release-requirements.txt")
    settings = WORK / "galaxy-importer.cfg"
    settings.write_text(IMPORTER, encoding="utf-8")
    paths = {**os.environ, "GALAXY_IMPORTER_CONFIG": str(settings), "PATH": f"{tools}:{os.environ.get('PATH', os.defpath)}"}
    said = venvs.run(str(tools / "python"), "-m", "galaxy_importer.main", str(tarball), cwd=WORK, env=paths)
    if "Importer processing completed successfully" not in said:
        raise SystemExit(f"galaxy-importer refused the collection:\n{said}")


def keep(work: Path, tarball: Path) -> None:
    """Bring what the release changed into the checkout, and the tarball to .build/dist."""
    for name in ("galaxy.yml", "CHANGELOG.rst", "changelogs/changelog.yaml"):
        shutil.copyfile(work / name, ROOT / name)
    for fragment in (ROOT / "changelogs" / "fragments").glob("*.yml"):
        if not (work / "changelogs" / "fragments" / fragment.name).exists():
            fragment.unlink()
    DIST.mkdir(parents=True, exist_ok=True)
    for path in (tarball, tarball.with_name(f"{tarball.name}.sha256")):
        shutil.copyfile(path, DIST / path.name)


def main(arguments: list[str]) -> int:
    """Make a release, or only look whether one could be made."""
    only_check, given = arguments[:1] == ["--check"], [word for word in arguments if word != "--check"]
    version = given[0] if given else max(galaxy(ROOT)["version"], "1.0.0", key=number) if only_check else ""
    problem = "" if only_check and SEMANTIC.fullmatch(version) else refusal(version)
    if problem:
        print(f"release: {problem}", file=sys.stderr)
        return 2
    work = prepare(version)
    tarball = build(work, version)
    imported(tarball)
    if only_check:
        print(f"release: galaxy-importer takes {version} as it would be released: {os.path.relpath(tarball)}")
        return 0
    keep(work, tarball)
    print(
        f"release: {version} is in .build/dist. Read CHANGELOG.rst as a user would, then:\n"
        f"  git add -A && git commit -m 'Release {version}' && git tag {version}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
