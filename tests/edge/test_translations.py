"""The texts on the screen: every language has every word, and the font has every letter."""

import string

import cv2
import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from edge import translations as module
from edge.config import DisplaySettings
from edge.labels import LABEL_SETS, UNCERTAIN
from edge.outputs.drawing.text import can_render, margin, render_text
from edge.translations import LANGUAGES, words_of
from tests.conftest import ROOT

BLOCKS = yaml.safe_load(module._FILE.read_text(encoding="utf-8"))


def fields(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_the_setting_takes_the_languages_there_are_and_names_them() -> None:
    assert tuple(BLOCKS) == LANGUAGES
    assert all(DisplaySettings(language=language).language == language for language in LANGUAGES)
    with pytest.raises(ValidationError, match="must be one of en, de"):
        DisplaySettings(language="xx")
    listed = f"{', '.join(LANGUAGES[:-1])} or {LANGUAGES[-1]}"
    assert listed in str(DisplaySettings.model_fields["language"].description)
    assert listed in (ROOT / "systemd" / "config.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_word_and_the_font_its_letters(language: str) -> None:
    own = BLOCKS[language]
    assert list(own) == list(BLOCKS["en"])
    for key, text in own.items():
        assert text == text.strip() != "", key
        assert fields(text) == fields(BLOCKS["en"][key]), key
        assert can_render(text), (key, [letter for letter in text if not can_render(letter)])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_emotion_has_a_word_of_its_own(language: str) -> None:
    emotions = {label for labels in LABEL_SETS.values() for label in labels} | {UNCERTAIN}
    assert len({words_of(language)[emotion] for emotion in emotions}) == len(emotions)


def test_english_shows_what_is_published() -> None:
    for labels in LABEL_SETS.values():
        assert [words_of("en")[label] for label in labels] == list(labels)


@pytest.mark.parametrize("capital", [7, 13, 30, 80])
def test_capitals_have_the_height_that_is_asked_for(capital: int) -> None:
    paint = render_text("HÄЖΩ", capital)
    flat = render_text("HEI", capital)
    rows = np.flatnonzero((flat > 127).any(axis=1))
    assert (rows[0], rows[-1] + 1) == pytest.approx((margin(capital), margin(capital) + capital), abs=1)
    assert paint.shape[0] == flat.shape[0] == capital + 2 * margin(capital)
    tall = render_text("ÄŐÅŹ|gjpqyЩ", capital)
    assert not tall[0].any()
    assert not tall[-1].any()


def test_letters_are_soft_at_their_edges_and_have_holes() -> None:
    ring = render_text("O", 60)
    assert 0 < ((ring > 0) & (ring < 255)).sum() < (ring == 255).sum()
    assert ring[ring.shape[0] // 2, ring.shape[1] // 2] == 0
    contours, _ = cv2.findContours((ring > 127).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    assert len(contours) == 2


def test_a_letter_the_font_has_not_is_a_question_mark() -> None:
    assert not can_render("中")
    assert np.array_equal(render_text("中", 20), render_text("?", 20))
