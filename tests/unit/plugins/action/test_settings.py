# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each mistyped setting gets one sentence; strings, as surveys send them, are right."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.mobius.ops.plugins.action.settings import FIELDS, doubtful, mistake, unfit_secrets
from ansible_collections.mobius.ops.plugins.plugin_utils import setting_names


@pytest.mark.parametrize(
    ("value", "option"),
    [
        ("300", {"type": "int"}),
        (300, {"type": "int"}),
        ("0.5", {"type": "float"}),
        ("true", {"type": "bool"}),
        ("no", {"type": "bool"}),
        ("config,logs", {"type": "list", "elements": "str"}),
        (["1", 2], {"type": "list", "elements": "int"}),
        ({}, {"type": "dict"}),
        ("", {"type": "str"}),
        ("auto", {"choices": ["auto", "systemd"]}),
        ("5", {"type": "int", "choices": [5]}),
        ([], {"type": "list", "elements": "str", "choices": ["a"]}),
        (["a"], {"type": "list", "elements": "str", "choices": ["a", "b"]}),
        ("~/x", {"type": "path"}),
    ],
)
def test_right_values(value, option):
    assert mistake("mobius_x", value, option) == ""


@pytest.mark.parametrize(
    ("value", "option", "sentence"),
    [
        ("abc", {"type": "int"}, "mobius_x: expected a whole number, found 'abc'. Correct it."),
        ("long", {"type": "float"}, "mobius_x: expected a number, found 'long'. Correct it."),
        ("maybe", {"type": "bool"}, "mobius_x: expected true or false, found 'maybe'. Correct it."),
        ("x", {"type": "dict"}, "mobius_x: expected a dictionary, found 'x'. Correct it."),
        ({"a": 1}, {"type": "list"}, "mobius_x: expected a list, found {'a': 1}. Correct it."),
        (["x"], {"type": "list", "elements": "dict"}, "mobius_x: expected a list, each a dictionary, found ['x']. Correct it."),
        ("upstart", {"choices": ["auto", "systemd"]}, "mobius_x: expected one of auto, systemd, found 'upstart'. Correct it."),
        (
            ["stuck", "well"],
            {"type": "list", "elements": "str", "choices": ["stuck", "slow"]},
            "mobius_x: expected some of stuck, slow, found ['stuck', 'well']. Correct it.",
        ),
    ],
)
def test_mistakes(value, option, sentence):
    assert mistake("mobius_x", value, option) == sentence


SECRET = "sekret-of-the-test"


@pytest.mark.parametrize(
    ("value", "option", "found"),
    [
        ([SECRET], {"type": "dict"}, "a dictionary, found a list"),
        (SECRET, {"type": "dict"}, "a dictionary, found a text"),
        ({"Authorization": SECRET}, {"type": "list"}, "a list, found a dictionary"),
        ([SECRET], {"type": "list", "elements": "dict"}, "a list, each a dictionary, found a list"),
        (4711, {"type": "dict"}, "a dictionary, found a number"),
        (True, {"type": "dict"}, "a dictionary, found true or false"),
        (None, {"type": "dict"}, "a dictionary, found nothing"),
        (SECRET, {"choices": ["a"]}, "one of a, found a text"),
    ],
)
def test_of_a_secret_only_the_kind_is_told(value, option, found):
    told = mistake("mobius_x", value, {**option, "no_log": True})
    assert told == f"mobius_x: expected {found}. Correct it."


@pytest.mark.parametrize("name", ["mobius_dotenv", "mobius_check_headers", "mobius_checks", "mobius_smoke_checks"])
def test_what_may_hold_secrets_is_marked(name):
    spec = Path(__file__).parents[4] / "roles" / "mobius" / "meta" / "argument_specs.yml"
    assert yaml.safe_load(spec.read_text(encoding="utf-8"))["argument_specs"]["settings"]["options"][name]["no_log"] is True


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"KEY": f"{SECRET}\nmore"}, "a value of KEY on one line"),
        ({"KEY": f'"{SECRET}"'}, "a value of KEY on one line"),
        ({"A KEY": SECRET}, "found 'A KEY'"),
        ({5: SECRET, "KEY": SECRET}, "names of letters, digits and _, found 5"),
        (f"KEY={SECRET}", "a dictionary of names and values, found str"),
    ],
)
def test_secrets_that_cannot_be_written_are_told_without_them(values, part):
    told = unfit_secrets(values)
    assert told.startswith("mobius_dotenv: expected") and part in told and SECRET not in told


def test_secrets_that_can_be_written():
    assert unfit_secrets({"KEY": SECRET, "PORT": 5001}) == ""


COLLECTION = str(Path(__file__).parents[4])


@pytest.mark.parametrize(
    ("name", "meant"),
    [("mobius_prot", " (did you mean mobius_port?)"), ("mobius_auto_rolback", " (did you mean mobius_auto_rollback?)"), ("mobius_zzz", "")],
)
def test_a_variable_that_nothing_reads_is_told(name, meant):
    (told,) = setting_names.unknown([name, "mobius_port", "other"], COLLECTION)
    assert told.startswith(f"{name}: expected a setting of mobius.ops, found none of this name{meant}. Correct it, or")


@pytest.mark.parametrize(
    "name",
    [
        "mobius_hosts",
        "mobius_become",
        "mobius_operator",
        "mobius_report_watch",
        "mobius_outcome",
        "mobius_backup",
        "mobius_lock",
        "mobius_release_id",
        "mobius_why",
    ],
)
def test_variables_of_playbooks_and_what_a_workflow_passes_on_are_known(name):
    assert setting_names.unknown([name], COLLECTION) == []


def test_every_setting_is_known():
    assert setting_names.unknown(settings_options(), COLLECTION) == []


def settings_options():
    specs = yaml.safe_load((Path(COLLECTION) / "roles" / "mobius" / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    return specs["argument_specs"]["settings"]["options"]


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([{"name": "a", "url": "/"}, {"name": "b", "ulr": "/"}], ["mobius_checks, entry 2: expected the fields "]),
        ([{"name": "a", "url": "/", "secret": SECRET}], ["mobius_checks, entry 1: expected the fields "]),
        ([], []),
        ("[]", []),
        (["text"], []),
        ([{"url": "/", "json": "a", "secret_headers": {}}], []),
    ],
)
def test_unknown_fields_are_told_without_values(entries, told):
    found = setting_names.fields("mobius_checks", entries, FIELDS["mobius_checks"])
    assert [sentence[: len(told[0])] for sentence in found] == told and SECRET not in str(found)
    assert "ulr" not in str(entries) or found[0].endswith("found ulr (did you mean url?). Correct the name.")


def test_the_fields_of_the_defaults_are_known():
    defaults = yaml.safe_load((Path(COLLECTION) / "roles" / "mobius" / "defaults" / "profiles" / "mobius.yml").read_text(encoding="utf-8"))
    lists = [name for name in FIELDS if isinstance(defaults.get(name), list)]
    assert len(lists) >= 3
    assert [setting_names.fields(name, defaults[name], FIELDS[name]) for name in lists] == [[]] * len(lists)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"mobius_version": 1.1}, "mobius_version is the number 1.1. YAML drops zeros"),
        ({"mobius_version": "1.10"}, ""),
        ({"mobius_dotenv": {"A": None, "B": ""}}, "mobius_dotenv: A has no value (null) and is left out."),
        ({"mobius_service_environment": {"A": None}}, "mobius_service_environment: A has no value (null) and is left out."),
        ({"mobius_dotenv": "x"}, ""),
        ({}, ""),
    ],
)
def test_what_is_probably_not_meant_is_a_warning(values, told):
    found = doubtful(values)
    assert len(found) == bool(told) and "".join(found).startswith(told)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("APP_VERSION: 1.10", "is a number with a point, and YAML drops zeros at the end of one (1.10 is 1.1)"),
        ("RATE: 1e3", ""),  # a text for YAML 1.1, and written as it is
        ("RATE: 1.0e+3", "is a number with a point"),
        ("UPLOAD_MODE: 0640", "is a number, and YAML reads one that begins with 0 as octal (0640 is 416)"),
        ("umask: 022", "as octal"),
        ("FILE_MODE_BITS: 0x1ff", "as octal"),
        ("UPLOAD_MODE: '0640'", ""),
        ("APP_VERSION: '1.10'", ""),
        ("DEBUG_MODE: 1", ""),
        ("FAST_MODE: true", ""),
        ("MODEL_ID: 416", ""),
        ("PORT: 5001", ""),
        ("LIMIT: 256", ""),
    ],
)
@pytest.mark.parametrize("setting", ["mobius_dotenv", "mobius_service_environment"])
def test_numbers_that_yaml_may_have_read_otherwise_are_told_without_their_value(setting, line, part):
    values = yaml.safe_load(line)
    [(name, value)] = values.items()
    found = doubtful({setting: values})
    assert len(found) == bool(part)
    for told in found:
        assert told.startswith(f"{setting}: {name} {part}") or part in told
        assert told.endswith("Write it in quotes.") and str(value) not in told.replace("416", "").replace("1.10 is 1.1", "")
