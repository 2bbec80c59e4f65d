"""Builds the documentation as a site: the pages of docs/, and a reference of every playbook, module, role and setting.

Usage: docs_site.py    prints the page to open

Sphinx and the drawing of diagrams come from PyPI and npm once; a build itself asks no network. Every warning is an error, and every link
inside of the site must lead somewhere.
"""

from __future__ import annotations

import functools
import html.parser
import os
import re
import shutil
import sys
import tarfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import awx_data
import settings_doc
import tree
import venvs
import yaml

ROOT = tree.ROOT
SITE = ROOT / "docs" / "site"
WORK = ROOT / ".build" / "docs"
MERMAID = "mermaid@11.17.2"
KINDS = {"module": "Modules", "role": "Roles", "callback": "Callback plugins", "lookup": "Lookup plugins", "filter": "Filter plugins"}
#: Of a plugin's page: that it is in no list, how to install the collection, and a second table of contents.
NOISE = re.compile(r"^:orphan:\n|^\.\. Collection note\n\n\.\. note::\n(?:    .*\n|\n)*|^\.\. contents::\n(?:   .*\n)*", flags=re.M)
LINK = re.compile(r"\]\(([^)\s]+)\)")
#: A colour of the reference, in a style.
COLOUR = re.compile(r"--antsibull-[a-z-]+(?=:)")
#: Where an entry point begins on a role's page.
ENTRY = re.compile(r"(?=^\.\. _ansible_collections\.mobius\.ops\.\w+_role__entrypoint-)", flags=re.M)


def mermaid() -> Path:
    """The script that draws diagrams; npm brings it once."""
    script = WORK / f"{MERMAID}.min.js"
    if not script.is_file():
        packed = venvs.run("npm", "pack", "--silent", "--pack-destination", str(WORK), MERMAID).split()[-1]
        with tarfile.open(WORK / packed) as package:
            source = package.extractfile("package/dist/mermaid.min.js")
            assert source is not None
            script.write_bytes(source.read())
        (WORK / packed).unlink()
    return script


def links(page: Path) -> Iterator[str]:
    """The files that a page of ours links to, as paths below the repository."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in LINK.findall(text):
        path = link.partition("#")[0]
        if path and not re.match(r"[a-z]+:", path):
            yield os.path.normpath(os.path.join(page.relative_to(ROOT).parent, path))


def lay_out(source: Path) -> None:
    """Copy our pages, and what they link to, to *source*, under the paths that they have in the repository."""
    pages = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
    wanted = {str(page.relative_to(ROOT)) for page in pages}
    wanted |= {link for page in pages for link in links(page) if (ROOT / link).is_file()}
    for name in wanted:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    for page in pages:  # a folder is no page of a site
        copy = source / page.relative_to(ROOT)
        text = copy.read_text(encoding="utf-8")
        folders = {link for link in LINK.findall(text) if (page.parent / link).is_dir()}
        for link in folders:
            text = re.sub(rf"\[([^\]]+)\]\({re.escape(link)}\)", r"\1", text)
        copy.write_text(text, encoding="utf-8")
    shutil.copytree(SITE, source, dirs_exist_ok=True)
    shutil.copyfile(ROOT / "galaxy.yml", source / "galaxy.yml")
    shutil.copyfile(mermaid(), source / "_static" / "mermaid.min.js")


def reference(tools: Path, collections: Path, folder: Path) -> None:
    """A page for each module, plugin and role, by antsibull-docs, and a list of them."""
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)  # antsibull-docs wants a folder that others cannot write to
    paths = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections), "PATH": f"{tools}:{os.environ['PATH']}"}
    venvs.run(
        str(tools / "antsibull-docs"),
        "collection",
        "--use-current",
        "--squash-hierarchy",
        "--no-add-antsibull-docs-version",
        "--fail-on-error",
        "--dest-dir",
        str(folder),
        "mobius.ops",
        env=paths,
    )
    (folder / "index.rst").unlink()
    for path in folder.glob("*.rst"):
        path.write_text(main_first(NOISE.sub("", path.read_text(encoding="utf-8"))), encoding="utf-8")
    lines = ["# Plugins and roles", "", "A role's options stand on its page; what roles share, on [settings](../docs/settings.md)."]
    for kind, title in KINDS.items():
        names = sorted(path.stem.removesuffix(f"_{kind}") for path in folder.glob(f"*_{kind}.rst"))
        lines += ["", f"## {title}", "", "| name | |", "|---|---|"]
        lines += [f"| [{name}]({name}_{kind}.rst) | {summary(folder / f'{name}_{kind}.rst')} |" for name in names]
        lines += ["", "```{toctree}", ":hidden:", f":caption: {title}", "", *(f"{name} ({kind}) <{name}_{kind}>" for name in names), "```"]
    lines += ["", "```{toctree}", ":hidden:", "", "environment_variables", "```"]
    (folder / "all.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main_first(text: str) -> str:
    """A role's page with its main entry point before the others; antsibull-docs sorts them by name."""
    head, *entries = ENTRY.split(text)
    if not entries:
        return text
    entries[-1], mark, foot = entries[-1].partition(".. Extra links\n")
    entries.sort(key=lambda entry: not entry.splitlines()[0].endswith("__entrypoint-main:"))
    return "".join([head, *entries, mark, foot])


def summary(page: Path) -> str:
    """What the title of a plugin's page says behind its name."""
    title = re.search(r"^mobius\.ops\.\w+ \w+ -- (.*)$", page.read_text(encoding="utf-8"), flags=re.M)
    return re.sub(r"\\(.)", r"\1", title[1]) if title else ""


def playbooks() -> str:
    """The page of all playbooks: what each does, the role that does it, and what AWX asks before it runs."""
    lines = [
        "# Playbooks",
        "",
        "Run one with `ansible-playbook -i inventories/production mobius.ops.NAME`. How each ends, and with which "
        "exit status: [outcomes](../docs/outcomes.md). The tables have what a template in [AWX](../docs/awx.md) asks for; every other "
        "[setting](../docs/settings.md) may be given too.",
    ]
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        plays = [play for play in yaml.safe_load(path.read_text(encoding="utf-8")) if "hosts" in play]
        if not plays or path.stem == "hosts":
            continue
        roles = dict.fromkeys(str(role["role"]).rpartition(".")[2] for play in plays for role in play.get("roles", []))
        lines += ["", f"## {path.stem}", "", about(path.name) or "; ".join(play["name"] for play in plays) + "."]
        if roles:
            lines += ["", "Roles: " + ", ".join(f"[{role}]({role}_role.rst)" for role in roles) + "."]
        lines += questions(path.name)
    return "\n".join(lines) + "\n"


def templates(playbook: str) -> list[dict[str, Any]]:
    """The templates in AWX that run a playbook."""
    return [one for one in awx().of("controller_templates") if os.path.basename(one["playbook"]) == playbook]


def about(playbook: str) -> str:
    """What a playbook does, as its template says it."""
    return next((f"{one['description']}." for one in templates(playbook)), "")


def question(row: dict[str, Any]) -> str:
    """A question of a survey, with what explains it."""
    return f"{row['question_name']} {settings_doc.markdown(row.get('question_description', ''))}"


def questions(playbook: str) -> list[str]:
    """A table of the settings that the survey of a playbook's template asks for."""
    rows = {row["variable"]: row for one in templates(playbook) for row in awx_data.questions(one)}
    if not rows:
        return []
    return [
        "",
        "| setting | question | default |",
        "|---|---|---|",
        *(f"| `{row['variable']}` | {question(row)} | {default(row)} |" for row in rows.values()),
    ]


@functools.cache
def awx() -> awx_data.Data:
    """The data for AWX."""
    return awx_data.read(ROOT / "awx")[0]


def default(row: dict[str, Any]) -> str:
    """A question's default, as the table shows it."""
    return "required" if row["required"] and "default" not in row else f"`{row['default']}`" if row.get("default", "") != "" else ""


class Page(html.parser.HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one tag's links and anchors."""
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value or "")
            elif name in ("href", "src") and value:
                (self.links if tag == "a" else self.loads).append(value)


def dead(site: Path) -> Iterator[str]:
    """Links inside of the site that lead nowhere, and files of other hosts that a page would load."""
    pages = {path: Page(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            parts = urllib.parse.urlsplit(link)
            if parts.netloc and link in page.loads:
                yield f"{path.relative_to(site)}: {link}: the page would load it from another host"
            if parts.scheme or parts.netloc or link == "#":
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{path.relative_to(site)}: {link}: there is no such file"
            elif parts.fragment and target in pages and urllib.parse.unquote(parts.fragment) not in pages[target].anchors:
                yield f"{path.relative_to(site)}: {link}: there is no such heading"


def uncoloured(theirs: str, ours: str) -> list[str]:
    """Colours of the reference that our style does not set; theirs are for a white page only."""
    return sorted(set(COLOUR.findall(theirs)) - set(COLOUR.findall(ours)))


def main() -> int:
    """Build the site, and check its links."""
    WORK.mkdir(parents=True, exist_ok=True)
    tools, source, site = venvs.bring(WORK / "venv", SITE / "requirements.txt"), WORK / "source", WORK / "html"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    source.mkdir()
    lay_out(source)
    reference(tools, tree.copy(ROOT / ".build" / "docs-tree").parents[2], source / "reference")
    (source / "reference" / "playbooks.md").write_text(playbooks(), encoding="utf-8")
    venvs.run(str(tools / "sphinx-build"), "-b", "html", "-W", "--keep-going", "-q", "-j", "auto", str(source), str(site))
    style = [(site / "_static" / name).read_text(encoding="utf-8") for name in ("antsibull-minimal.css", "site.css")]
    wrong = [f"_static/site.css: {name}: it cannot be read in the dark without a colour of ours" for name in uncoloured(*style)]
    wrong += dead(site)
    if wrong:
        raise SystemExit("docs: links that lead nowhere, or colours that are missing:\n" + "\n".join(wrong))
    print(f"docs: {sum(1 for _ in site.rglob('*.html'))} pages, 0 warnings, every link leads somewhere: {os.path.relpath(site)}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
