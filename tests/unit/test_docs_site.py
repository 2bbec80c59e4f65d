"""The site of the documentation: every page has its place, and dead links are found."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import docs_site  # noqa: E402

INDEX = (ROOT / "docs" / "site" / "index.md").read_text(encoding="utf-8")


def test_every_page_has_its_place_in_the_menu():
    entries = {re.sub(r".*<(.*)>", r"\1", line) for line in INDEX.splitlines()}
    pages = {f"docs/{path.stem}" for path in (ROOT / "docs").glob("*.md")}
    assert pages and not pages - entries


def test_every_playbook_is_on_its_page_with_what_a_survey_asks():
    page = docs_site.playbooks()
    names = {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - {"hosts"}
    assert names == set(re.findall(r"^## (\w+)$", page, flags=re.M))
    deploy = page.partition("## deploy\n")[2].partition("\n## ")[0]
    assert "[deploy](deploy_role.rst)" in deploy and "| `mobius_release_source` |" in deploy and "| required |" in deploy
    assert "| `3600` |" in deploy


def test_links_of_a_page_are_paths_below_the_repository_and_those_in_code_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(docs_site, "ROOT", tmp_path)
    page = tmp_path / "docs" / "a.md"
    page.parent.mkdir()
    page.write_text("[one](b.md#there) [two](../LICENSE) [far](https://example.org) [here](#here)\n```\n[code](c.md)\n```\n")
    assert list(docs_site.links(page)) == ["docs/b.md", "LICENSE"]


def test_what_antsibull_docs_says_twice_is_left_out():
    text = (
        ":orphan:\n\n.. Collection note\n\n.. note::\n    This module is part of it.\n\n    Install it.\n\n"
        ".. version_added\n\nNew in 1\n\n"
        ".. contents::\n   :local:\n   :depth: 1\n\n.. Deprecated\n"
    )
    assert docs_site.NOISE.sub("", text) == "\n.. version_added\n\nNew in 1\n\n\n.. Deprecated\n"


def test_a_colour_of_the_reference_that_we_do_not_set_is_found():
    theirs = ":root{--antsibull-a:red;--antsibull-b-c:#fff}td{color:var(--antsibull-a)}"
    assert docs_site.uncoloured(theirs, "body { --antsibull-a: blue; }") == ["--antsibull-b-c"]
    assert docs_site.uncoloured(theirs, "body { --antsibull-a: blue; --antsibull-b-c: red; }") == []


def entry(name):
    """An entry point on a role's page, as antsibull-docs writes it."""
    return f".. _ansible_collections.mobius.ops.a_role__entrypoint-{name}:\n\nEntry point ``{name}``\n\n.. _ansible_collections.x:\n\n"


def test_the_main_entry_point_of_a_role_comes_first():
    head, foot = ".. Title\n\n", ".. Extra links\n\nCollection links\n"
    text = head + entry("forks") + entry("main") + entry("report") + foot
    assert docs_site.main_first(text) == head + entry("main") + entry("forks") + entry("report") + foot
    assert docs_site.main_first(head + foot) == head + foot


@pytest.fixture
def site(tmp_path):
    """Two pages that link to each other."""
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="b.html#part">b</a> <a href="#top">up</a> <img src="p%20q.svg">')
    (tmp_path / "b.html").write_text('<p id="part">B</p><a href="a.html">a</a><a href="https://example.org/none">far</a>')
    (tmp_path / "p q.svg").write_text("<svg/>")
    return tmp_path


def test_a_site_without_dead_links_has_none(site):
    assert list(docs_site.dead(site)) == []


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("c.html", "there is no such file"),
        ("b.html#other", "there is no such heading"),
        ("#other", "there is no such heading"),
    ],
)
def test_a_dead_link_is_named_with_its_page(site, link, problem):
    (site / "a.html").write_text(f'<a href="{link}">x</a>')
    assert list(docs_site.dead(site)) == [f"a.html: {link}: {problem}"]


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://example.org/a.js"></script>',
        '<img src="//example.org/a.png">',
        '<link rel="stylesheet" href="https://example.org/a.css">',
    ],
)
def test_a_page_that_would_load_something_from_elsewhere_is_named(site, tag):
    (site / "a.html").write_text(tag)
    assert [line.partition(": ")[0] for line in docs_site.dead(site)] == ["a.html"]


def test_the_inventory_of_ansible_core_is_one_that_sphinx_reads():
    for row in (ROOT / "docs" / "site" / "ansible-core.txt").read_text().splitlines():
        kind, name, page, title = row.split(maxsplit=3)
        assert kind in ("label", "envvar") and re.fullmatch(r"\w+", name) and page.endswith(".html") and title
