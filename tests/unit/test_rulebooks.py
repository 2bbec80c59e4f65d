"""The rulebooks name playbooks and settings that exist, take alerts only with a token, and hand no text of an alert to a template."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BOOKS = sorted((ROOT / "extensions" / "eda" / "rulebooks").glob("*.yml"))
#: What remains of an alert's text: no braces, no percent and quote signs of templates, no line breaks.
HARMLESS = re.compile(r"regex_replace\('\[\^([^']+)\]', '[_ ]'\)")


def load(path: Path):
    """A YAML file; what AWX data marks as unsafe is text."""
    return yaml.safe_load(path.read_text(encoding="utf-8").replace("!unsafe ", ""))


def specs() -> dict:
    """Every setting that roles share, with its description."""
    entries = load(ROOT / "roles" / "mobius" / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: option for entry in entries.values() for name, option in (entry.get("options") or {}).items()}


def actions(book: Path) -> list[tuple[str, dict]]:
    """Every action of a rulebook, with its options."""
    return [action for rule in load(book)[0]["rules"] for action in rule["action"].items()]


def given(book: Path) -> dict[str, str]:
    """The extra variables that a run is given."""
    ((_name, options),) = [action for action in actions(book) if action[0] != "print_event"]
    return options.get("extra_vars") or options["job_args"]["extra_vars"]


def test_there_is_one_for_playbooks_and_one_for_awx():
    assert [book.stem for book in BOOKS] == ["alerts", "alerts_awx"]


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
class TestRulebook:
    def test_it_listens_with_a_token_on_loopback_by_default(self, book):
        (rules,) = load(book)
        (source,) = rules["sources"]
        assert rules["hosts"] == "all,localhost"
        webhook = source["eda.builtin.webhook"]
        assert webhook["token"] == "{{ mobius_events_token }}"  # no default: without it the rulebook does not start
        assert webhook["host"] == "{{ mobius_events_host | default('127.0.0.1') }}"
        plugins = [name for name in source if name not in ("name", "filters")] + [name for each in source["filters"] for name in each]
        assert plugins and all(name.startswith("eda.builtin.") for name in plugins)

    def test_alerts_ask_for_an_answer_and_are_slowed_down(self, book):
        first, second = load(book)[0]["rules"]
        assert 'event.labels.mobius_respond == "true"' in first["condition"] and 'event.status == "firing"' in first["condition"]
        assert first["throttle"] == {
            "once_within": "60 seconds",
            "group_by_attributes": ["event.labels.alertname", "event.labels.instance"],
        }
        assert second["condition"] == "event.mobius_outcome is defined" and set(second["action"]) == {
            "print_event"
        }  # an outcome starts nothing

    def test_what_it_runs_exists_and_reads_what_it_is_given(self, book):
        ((name, options),) = [action for action in actions(book) if action[0] != "print_event"]
        templates = load(ROOT / "awx" / "templates.yml")["awx_templates"]
        named = options["name"]
        if name == "run_job_template":
            (template,) = [one for one in templates if one["name"] == named]
            named = "mobius.ops." + template["playbook"].removesuffix(".yml")
            asked = re.findall(r"'([\w ]+)' \| split|\[([^]]+)\]", template["survey_spec"]["spec"])
            questions = load_questions()
            words = re.findall(r"\w+", " ".join(part for pair in asked for part in pair))
            assert set(given(book)) <= {questions[word]["variable"] for word in words if word in questions}
            assert template.get("ask_limit_on_launch", True)
        assert (ROOT / "playbooks" / (named.rpartition(".")[2] + ".yml")).is_file() and options["post_events"] is True
        assert set(given(book)) <= set(specs()) | {"mobius_hosts"}

    def test_no_text_of_an_alert_can_be_a_template(self, book):
        ((_name, options),) = [action for action in actions(book) if action[0] != "print_event"]
        texts = [*given(book).values(), *([options["job_args"]["limit"]] if "job_args" in options else [])]
        texts = [text.strip().removesuffix(",localhost") for text in texts]
        for text in texts:
            if "event." in text:
                letters = HARMLESS.findall(text)
                assert letters and text.rstrip("} \n").endswith("')") and not set("{}'\"\\#") & set(letters[-1]), text


def load_questions() -> dict:
    """Every question of a survey."""
    return load(ROOT / "awx" / "surveys.yml")["awx_questions"]


def test_a_copy_of_the_playbook_needs_no_file_beside_it():
    for play in load(ROOT / "playbooks" / "respond.yml"):
        assert "vars_files" not in play and play.get("ansible.builtin.import_playbook", "mobius.ops.").startswith("mobius.ops.")


def test_no_result_counts_as_an_indirect_node():
    queries = load(ROOT / "extensions" / "audit" / "event_query.yml")
    for name, query in queries.items():
        assert (ROOT / "plugins" / "modules" / f"{name.removeprefix('mobius.ops.')}.py").is_file() and query == {"query": "empty"}
