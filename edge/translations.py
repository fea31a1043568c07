"""What people read on the screen, in their language; words.yaml beside this has it all."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, get_args

import yaml

Language = Literal["en", "de", "fr", "es", "it", "nl", "pl", "pt", "uk", "ru"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
Words = Mapping[str, str]
"""A text of each key of words.yaml; an emotion's key is its label."""

_FILE: Final = Path(__file__).with_suffix(".yaml")


@lru_cache(maxsize=len(LANGUAGES))
def words_of(language: Language = "en") -> Words:
    """The texts of a language, by the keys of English, which stands in for what a language does not have."""
    blocks = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return MappingProxyType({**blocks["en"], **blocks[language]})
