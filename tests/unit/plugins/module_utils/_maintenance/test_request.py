"""One place reads a request, from what a playbook, a survey or a timer gives."""

from __future__ import annotations

import json

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core.errors import InputError
from ansible_collections.mobius.ops.plugins.module_utils._maintenance.request import Request

LEAST = {"cadence": "weekly", "env": "production"}


def test_defaults_hold_where_nothing_is_given():
    made = Request.read({**LEAST, "service": None})
    assert (made.service, made.steps, made.open_ports, made.drill_start) == ("mobius", (), (22, 80, 443), True)


def test_texts_of_surveys_are_read():
    made = Request.read({**LEAST, "step_timeout": "30", "drill_start": "false", "drill_port": "5099", "open_ports": ["22", 443]})
    assert (made.step_timeout, made.drill_start, made.drill_port, made.open_ports) == (30.0, False, 5099, (22, 443))


def test_it_is_plain_json_and_shows_no_secret():
    given = {**LEAST, "checks": [{"url": "http://127.0.0.1/"}], "secret_headers": {"X-Key": "zeKr1t"}, "trained": "2026-11-27"}
    made = Request.read(json.loads(json.dumps(given)))
    assert made.checks == ({"url": "http://127.0.0.1/"},) and "zeKr1t" not in repr(made)


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"cadence": "daily"}, "cadence: expected weekly or monthly or quarterly, found 'daily'. Correct mobius_cadence."),
        ({"env": ""}, "maintenance: env: expected a text, found none. Give it."),
        ({"env": "../x"}, "env '../x': expected"),
        ({"service": "a b"}, "service name 'a b': expected"),
        ({"speed": 1}, "maintenance: speed: expected one of cadence, env,"),
        ({"step_timeout": 0}, "step_timeout: expected a number above 0, found 0."),
        ({"step_timeout": "soon"}, "maintenance: step_timeout: expected a number, found 'soon'. Correct it."),
        ({"step_timeout": float("nan")}, "expected a number"),
        ({"step_timeout": True}, "expected a number"),
        ({"drill_start": "maybe"}, "expected true or false"),
        ({"drill_port": 1.5}, "expected a whole number"),
        ({"steps": "all"}, "maintenance: steps: expected a list of texts, found 'all'."),
        ({"open_ports": ["ssh"]}, "a list of whole numbers"),
        ({"headers": []}, "expected an object"),
        ({"checks": ["x"]}, "a list of objects"),
        ({"sign_key": "a\0b"}, "expected a text"),
        ({"trained": "last week"}, "trained: expected a day such as 2026-11-27, found 'last week'. Correct mobius_maintenance_trained."),
    ],
)
def test_what_is_wrong_is_one_sentence(given, sentence):
    with pytest.raises(InputError) as caught:
        Request.read({**LEAST, **given})
    assert sentence in str(caught.value)
