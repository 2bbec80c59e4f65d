"""How Sphinx builds the site; tools/docs_site.py lays out its source and calls it."""

from __future__ import annotations

import zlib
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).resolve().parent
GALAXY = yaml.safe_load((HERE / "galaxy.yml").read_text(encoding="utf-8"))

project = "mobius.ops"
author = copyright = "mobius.ops contributors"
version = release = GALAXY["version"]
html_title = f"mobius.ops {version}"
language = "en"

extensions = ["myst_parser", "sphinx.ext.intersphinx", "sphinx_antsibull_ext", "sphinx_copybutton"]
exclude_patterns = ["reference/index.rst"]
suppress_warnings = ["myst.xref_ambiguous"]
nitpicky = True
default_role = "any"
highlight_language = "text"

myst_heading_anchors = 6
myst_fence_as_directive = ["mermaid"]
myst_linkify_fuzzy_links = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("mermaid.min.js", {"defer": "defer"}), ("diagrams.js", {"defer": "defer"})]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = "$ "

#: Where ansible-core's documentation lies. What a plugin's page refers to there is in ansible-core.txt, so a build asks no network.
ANSIBLE = "https://docs.ansible.com/projects/ansible/latest/"
intersphinx_mapping = {"ansible": (ANSIBLE, str(HERE / "ansible-core.inv"))}


def write_inventory(rows: str, path: Path) -> None:
    """Write an inventory of intersphinx (version 2 of its format) from rows of kind, name, page and title."""
    lines = []
    for row in rows.splitlines():
        kind, name, page, title = row.split(maxsplit=3)
        lines.append(f"{name} std:{kind} -1 {page}#{f'envvar-{name}' if kind == 'envvar' else name.replace('_', '-')} {title}\n")
    head = "# Sphinx inventory version 2\n# Project: ansible-core\n# Version:\n# The remainder of this file is compressed using zlib.\n"
    path.write_bytes(head.encode() + zlib.compress("".join(lines).encode()))


write_inventory((HERE / "ansible-core.txt").read_text(encoding="utf-8"), HERE / "ansible-core.inv")


class Diagram(SphinxDirective):
    """A diagram in the language of Mermaid; the page draws it, from a file of the site."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The text, as the script finds it."""
        return [nodes.raw("", f'<pre class="mermaid">{nodes.unescape(nodes.Text(chr(10).join(self.content)))}</pre>', format="html")]


def setup(app: Sphinx) -> None:
    """Tell Sphinx what is ours."""
    app.add_directive("mermaid", Diagram)
