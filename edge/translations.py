"""What people read on the screen, in their language; translations.yaml beside this has all of it."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

Words = Mapping[str, str]
"""A text of each key of translations.yaml; an emotion's key is its label."""

_FILE: Final = Path(__file__).with_suffix(".yaml")
_TEXT: Final = _FILE.read_text(encoding="utf-8")

# By their first column: to parse the whole file takes longer than most commands.
LANGUAGES: Final = tuple(re.findall(r'^"?([a-z]{2,3})"?:', _TEXT, re.MULTILINE))
"""Codes of the languages there are, in the order of the file."""


@cache
def words_of(language: str = "en") -> Words:
    """The texts of a language, by the keys of English, which stands in for what a language does not have."""
    return MappingProxyType({**_block("en"), **_block(language)})


def _block(language: str) -> dict[str, str]:
    """One language's texts; the others are not parsed, since that takes most of a second on a board."""
    start = re.search(rf'^"?{language}"?:\n', _TEXT, re.MULTILINE)
    if not start:
        raise KeyError(language)
    end = re.compile(r"^\S", re.MULTILINE).search(_TEXT, start.end())
    return dict(yaml.safe_load(_TEXT[start.end() : end.start() if end else None]))


def label_text(label: str, words: Words) -> str:
    """An emotion's name in the language of `words`; a label of the user's own as it is written, `_` as a space."""
    return words[label] if f"looks_{label}" in words else label.replace("_", " ")


def looks_text(label: str, words: Words) -> str:
    """What a face with this label looks like: `looks happy`; for a label of the user's own, its name."""
    return words.get(f"looks_{label}") or label_text(label, words)


def capitalised(text: str) -> str:
    """The text with its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def confidence_text(confidence: float) -> str:
    """`97%`; at most `99%`, since no network is certain."""
    return f"{min(0.99, confidence):.0%}"


def known_language(language: str) -> str:
    """The language's code as it came. Raises ValueError where translations.yaml does not have it."""
    if language not in LANGUAGES:
        raise ValueError(f"must be one of {', '.join(LANGUAGES)}")
    return language
