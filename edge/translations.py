"""Texts on the screen in the user's language, from translations.yaml."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

Words = Mapping[str, str]
"""Texts of one language by the keys of translations.yaml; an emotion's key is its label."""

_FILE: Final = Path(__file__).with_suffix(".yaml")
_TEXT: Final = _FILE.read_text(encoding="utf-8")

# Found by a pattern: parsing the whole file takes longer than most commands.
LANGUAGES: Final = tuple(re.findall(r'^"?([a-z]{2,3})"?:', _TEXT, re.MULTILINE))
"""Codes of the available languages, in the order of the file."""


@cache
def words_of(language: str = "en") -> Words:
    """Return the texts of a language by key; a text that the language lacks is English."""
    return MappingProxyType({**_block("en"), **_block(language)})


def _block(language: str) -> dict[str, str]:
    """Parse the texts of one language only: all of them would take most of a second on a board."""
    start = re.search(rf'^"?{language}"?:\n', _TEXT, re.MULTILINE)
    if not start:
        raise KeyError(language)
    end = re.compile(r"^\S", re.MULTILINE).search(_TEXT, start.end())
    return dict(yaml.safe_load(_TEXT[start.end() : end.start() if end else None]))


def label_text(label: str, words: Words) -> str:
    """Return an emotion's name in the language of `words`; a user's own label unchanged, but `_` as a space."""
    return words[label] if f"looks_{label}" in words else label.replace("_", " ")


def looks_text(label: str, words: Words) -> str:
    """Describe a face with this label, `looks happy`; for a user's own label, its name."""
    return words.get(f"looks_{label}") or label_text(label, words)


def capitalised(text: str) -> str:
    """Return the text with its first letter in upper case and the rest unchanged."""
    return text[:1].upper() + text[1:]


def confidence_text(confidence: float) -> str:
    """Format a confidence, 0 to 1, as `97%`; at most `99%`, because no network is certain."""
    return f"{min(0.99, confidence):.0%}"


def known_language(language: str) -> str:
    """Return the language code unchanged. Raises ValueError if translations.yaml does not have it."""
    if language not in LANGUAGES:
        raise ValueError(f"must be one of {', '.join(LANGUAGES)}")
    return language
