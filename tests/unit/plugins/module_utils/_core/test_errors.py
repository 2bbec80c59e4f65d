# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The sentences of errors."""

from __future__ import annotations

import pytest

from ansible_collections.mobius.ops.plugins.module_utils._core import errors


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("a.zip", "a file", "none", "Copy it"), "a.zip: expected a file, found none. Copy it."),
        (("a.zip", "a file", "none"), "a.zip: expected a file, found none."),
        (("a.zip", "", "dust", "Wipe it"), "a.zip: found dust. Wipe it."),
        (("a.zip",), "a.zip."),
        (("a\nb.zip", "a\x1b[2Jfile", "none\r", "Move\0it"), "a\\nb.zip: expected a\\x1b[2Jfile, found none\\r. Move\\x00it."),
    ],
)
def test_a_message_names_object_expectation_finding_and_next_step(words, sentence):
    assert str(errors.OpsError(*words)) == sentence


def test_one_family():
    for kind in (errors.InputError, errors.StateError, errors.IntegrityError, errors.ServiceError):
        assert issubclass(kind, errors.OpsError)
