# Copyright: mobius.ops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds names in text: whether what the application stores still names a file.

A text and a name are cut into words in the same way. A name is in a text when all of its words are, so it is found in an address, a
path, a sentence or JSON within a cell. That errs to one side only: a file may be kept that nobody names.
"""

from __future__ import annotations

import re
import typing as t
import unicodedata
import urllib.parse

_WORD = re.compile(r"\w(?:[\w.-]*\w)?")
#: JSON's escapes, also of JSON within JSON.
_ESCAPED = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|[nrtbf])")
_PART = re.compile(r"[._-]+")
#: A part of a name stands for the file when it has so many characters, and a digit: an id, and no word of a language.
_LEAST = 8
_DIGIT = re.compile(r"\d")
#: Parts of one name that are looked at.
_MOST_PARTS = 12


def of(text: str) -> list[str]:
    """The words of a text, in one spelling."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return _WORD.findall(text.lower())


def hashes(text: str) -> set[int]:
    """The hash of each word of a text, also without the escapes of JSON and of addresses. Two words with one hash keep a file too many."""
    found = set(map(hash, of(text)))
    if "%" in text:
        found.update(map(hash, of(urllib.parse.unquote(text, errors="surrogateescape"))))
    if "\\" in text:
        plain = _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)) if match.group(1) else " ", text)
        found.update(map(hash, of(plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))))  # joins halves of characters
    return found


def handles(path: str, folders: t.Collection[str], every_folder: bool) -> t.Iterator[list[str]]:
    """By what a text may name a file: each a list of words, all of which must be in it.

    That is its name; the beginning or the end of its name, when it looks like an id, for a thumbnail is named after its picture and a
    clip after its job; and a folder that it is in, such as that of a job.

    :param path: relative.
    :param folders: names of folders that say nothing, because the application gives them to all files of a kind.
    :param every_folder: whether a folder counts whose name does not look like an id.
    """
    *above, name = path.split("/")
    yield of(name)
    for part in _parts(name):
        yield of(part)
    for folder in above:
        if folder not in folders and (every_folder or _is_id(folder)):
            yield of(folder)


def _parts(name: str) -> t.Iterator[str]:
    cuts = list(_PART.finditer(name))[:_MOST_PARTS]
    for cut in cuts:
        for part in (name[: cut.start()], name[cut.end() :]):
            if _is_id(part):
                yield part


def _is_id(part: str) -> bool:
    return len(part) >= _LEAST and bool(_DIGIT.search(part))
