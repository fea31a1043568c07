"""Figures of networks whose only head is valence and arousal."""

from collections.abc import Sequence
from pathlib import Path

from edge.errors import EmotionEdgeError
from training.config import AFFECT, CONFIG_FILE, read_config
from training.datasets.dataset import FINAL, VALIDATION, Dataset
from training.evaluation.judge import affects, pixels_for, run_all
from training.evaluation.members import open_members
from training.validation import AXES


def is_affect_alone(folders: Sequence[Path]) -> bool:
    """Return True if every folder is a run whose only head is valence and arousal."""
    files = [folder / CONFIG_FILE for folder in folders]
    return all(file.is_file() and set(read_config(file).heads) == {AFFECT} for file in files)


def affect_alone_text(folders: Sequence[Path], data: Dataset, final: bool) -> str:
    """CCC and root mean squared error of valence and arousal, with 95% intervals, as Markdown.

    Raises EmotionEdgeError where the data set has no valence and arousal.
    """
    members = open_members(folders, data)
    kind = "derived " if data.affect_derived else ""
    lines = [f"# {', '.join(member.name for member in members)} on {data.name}: {kind}valence and arousal", ""]
    if data.affect_derived:
        lines += ["The values to be predicted are derived from the labels on the circumplex, not measured.", ""]
    lines += ["| split | network | figure | CCC | RMSE | faces |", "|---|---|---|---|---|---|"]
    for split in (VALIDATION, FINAL) if final else (VALIDATION,):
        part, pixels = pixels_for(members, data.part(split))
        found = affects(members, part, run_all(members, pixels))
        if not found:
            raise EmotionEdgeError(f"{data.name}: no face of {split} has valence and arousal")
        for one in found:
            low, high = one.concordance_interval
            below, above = one.rmse_interval
            lines.append(
                f"| {split} | {one.voter} | {kind}{AXES[one.axis]} | {one.concordance:.3f} ({low:.3f} to {high:.3f}) | "
                f"{one.rmse:.3f} ({below:.3f} to {above:.3f}) | {one.rows:,} |"
            )
    return "\n".join(lines)
