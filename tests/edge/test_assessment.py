"""The data protection impact assessment: its text depends on the settings and the model's card."""

from datetime import date
from pathlib import Path

import pytest

from edge.cli import main
from edge.commands.assessment import OPEN, assessment_text
from edge.config import Settings
from edge.models.card import EmotionCard, read_card
from tests.edge.test_notice import OPEN_BOARD

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def card() -> EmotionCard:
    return read_card(EmotionCard, MODELS / "emotion-small")


def row(text: str, begin: str) -> str:
    found = [line for line in text.splitlines() if line.startswith(f"| {begin}")]
    assert len(found) == 1, begin
    return found[0]


def test_a_board_with_defaults_keeps_and_sends_nothing(card: EmotionCard) -> None:
    text = assessment_text(Settings(), card, date(2026, 11, 28))
    assert row(text, "Record: emotion").endswith("| no; it is off |")
    assert "not sent" in row(text, "Emotions, boxes")
    assert "no broker and no button is set" in row(text, "Switching off")
    assert "no switch within reach" in row(text, "People act differently")
    assert "in English" in row(text, "Notice in every")
    assert row(text, "Picture on request").endswith("| no |")
    assert "this board alone" in row(text, "Live page")
    assert "no picture leaves the board" in row(text, "Pictures get into wrong hands")
    assert OPEN in row(text, "Controller")
    assert "- [x] No picture can be asked for over MQTT" in text
    assert "- [ ] Controller and contact" in text


def test_an_open_board_is_told_as_it_is(card: EmotionCard) -> None:
    text = assessment_text(OPEN_BOARD, card, date(2026, 11, 28))
    assert "7 days, 100 MB at most" in row(text, "Record: emotion")
    assert "not encrypted" in row(text, "Live page")
    assert "the page and MQTT snapshots" in row(text, "Pictures get into wrong hands")
    assert "Makerspace" in row(text, "Controller")
    assert "broker broker.lan" in row(text, "People act differently")
    assert "not encrypted" in row(text, "The board or its card is stolen")
    assert "- [ ] The page is for this board alone, or encrypted" in text
    assert "- [ ] No picture can be asked for over MQTT" in text
    assert "- [x] Controller and contact" in text
    assert "sesame" not in text


def test_snapshots_without_a_broker_are_not_sent(card: EmotionCard) -> None:
    text = assessment_text(Settings.model_validate({"mqtt": {"snapshots": True}}), card, date(2026, 11, 28))
    assert row(text, "Picture on request").endswith("| no |")
    assert "- [x] No picture can be asked for over MQTT" in text


def test_led_and_button_are_told(card: EmotionCard) -> None:
    text = assessment_text(Settings.model_validate({"gpio": {"led": 17, "button": 27}}), card, date(2026, 11, 28))
    assert "an LED at GPIO 17" in row(text, "People do not know")
    assert "the button at GPIO 27" in row(text, "Switching off")


def test_error_rates_are_those_of_the_card(card: EmotionCard) -> None:
    text = assessment_text(Settings(), card, date(2026, 11, 28))
    own = {"precision": "int8", "split": "PrivateTest", "output": "ferplus8"}
    figure = next(one for one in card.metrics if own.items() <= one.items())
    assert f"{figure['accuracy']:.2%} of {figure['rows']} faces" in text
    for name, recall in figure["recall"].items():
        assert row(text, f"{name} |") == f"| {name} | {recall:.0%} |"


def test_groups_are_those_of_the_card_where_it_has_them(card: EmotionCard) -> None:
    assert "no figures by age" in assessment_text(
        Settings(), card.model_copy(update={"parity": {}}), date(2026, 11, 28)
    )
    measured = {"group": "over 70", "faces": 52, "found": [0.9812, [0.9, 1.0]], "uncertain": 0.0425}
    known = card.model_copy(update={"parity": {"note": "Measured so.", "rows": [measured]}})
    text = assessment_text(Settings(), known, date(2026, 11, 28))
    assert row(text, "over 70") == "| over 70 | 52 | 98.1% | 4.2% |"
    assert "Measured so." in text


def test_a_camera_password_stays_out(card: EmotionCard) -> None:
    settings = Settings.model_validate({"camera": {"source": "rtsp://me:sesame@cam.lan/live"}})
    assert "sesame" not in assessment_text(settings, card, date(2026, 11, 28))


def test_every_table_is_whole(card: EmotionCard) -> None:
    for settings in (Settings(), OPEN_BOARD):
        tables = [
            block for block in assessment_text(settings, card, date(2026, 11, 28)).split("\n\n") if block[0] == "|"
        ]
        assert len(tables) >= 6
        for table in tables:
            assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "dpia.md"
    assert main(["assessment", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert out.read_text(encoding="utf-8").startswith("# Data protection impact assessment")
    assert main(["assessment", "--out", str(tmp_path / "no" / "a.md")]) == 2
