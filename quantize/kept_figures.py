"""Copies figures that were added to a card later (balance, evenness etc.) into a newly written card."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edge.model_updates.self_test import add_self_test
from edge.models.card import CARD_FILE
from quantize.balance import balance_text
from quantize.card_text import evenness_text
from quantize.card_update import write_into
from quantize.mirror import mirror_text
from training.evaluation.parity import from_json

_OF_BALANCE: Final = ("priors", "balance", "temperature")


def keep_figures(before: Mapping[str, Any], folder: Path) -> list[str]:
    """Copy balance, `mirror_below` and evenness from an earlier card of the same file into its new card and CARD.md.

    Args:
        before: content of the earlier card.json.
        folder: folder with the new card.json and CARD.md; figures that these already contain are kept.

    Returns:
        The keys of card.json that were copied.
    """
    now = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    kept = [key for key in ("balance", "mirror_image", "parity") if before.get(key) and not now.get(key)]
    if "balance" in kept:
        earlier = {output["name"]: output for output in before["outputs"] if output.get("primary")}
        outputs = [
            output | {key: earlier[output["name"]][key] for key in _OF_BALANCE} if output["name"] in earlier else output
            for output in now["outputs"]
        ]
        facts = before["balance"]
        write_into(folder, CARD_FILE, {"outputs": outputs, "balance": facts}, balance_text(facts))
        add_self_test(folder)
    if "mirror_image" in kept:
        facts = before["mirror_image"]
        write_into(
            folder, CARD_FILE, {"mirror_below": facts["mirror_below"], "mirror_image": facts}, mirror_text(facts)
        )
    if "parity" in kept:
        write_into(folder, CARD_FILE, {"parity": before["parity"]}, evenness_text(from_json(before["parity"])))
    return kept
