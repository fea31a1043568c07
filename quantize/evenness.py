"""Measures how evenly a released model or committee treats FairFace's demographic groups, for its card."""

import json
from pathlib import Path

from edge.config import Settings
from edge.emotion.committee import COMMITTEE_FILE
from edge.models.card import CARD_FILE
from quantize.card_text import evenness_text
from quantize.card_update import write_into
from training.evaluation import parity


def add_evenness(folder: Path, fairface: Path) -> str:
    """Measure a model and write the figures into its JSON card, under `parity`, and into CARD.md.

    Args:
        folder: folder of the model or committee.
        fairface: FairFace's validation faces.

    Returns:
        The section of CARD.md.

    Raises:
        EmotionEdgeError: There is no model or no FairFace.
    """
    rows, _ = parity.parity(fairface, Settings.model_validate({"emotion": {"model": str(folder)}}))
    name = COMMITTEE_FILE if (folder / COMMITTEE_FILE).is_file() else CARD_FILE
    section = evenness_text(rows)
    write_into(folder, name, {"parity": json.loads(parity.as_json(rows, folder.resolve().name))}, section)
    return section.strip("\n")
