"""Writes the card of a released model: `card.json` for programs and `CARD.md` for people."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.config import Settings
from edge.labels import LABEL_SETS
from edge.model_updates.self_test import add_self_test
from edge.models.card import MODEL_FILE, CropSpec, EmotionCard, InputSpec, OutputSpec, sha256_of, write_card
from quantize.calibration import Calibration
from quantize.card_text import (
    CARD_TEXT,
    USE_TEXT,
    calibration_text,
    class_table,
    data_failures_text,
    data_text,
    evenness_text,
    failures_text,
    licence_text,
    losses_text,
    rare_text,
    taught_text,
    unlabelled_text,
)
from quantize.convert import INPUT_NAME, SCALE, ZERO_POINT
from quantize.metadata import embed
from quantize.verify import Measured, Row, sized
from quantize.verify_table import markdown
from training.config import AFFECT, TrainingConfig
from training.datasets.dataset import Dataset, source_of
from training.evaluation import parity
from training.evaluation.figures import Figures, protocol, too_few

UNKNOWN_SHA256 = "0" * 64
"""Placeholder for a model file's hash in the card that is embedded in the file, before the hash can be known."""

BULKY = ("confusion", "recall", "indices")
"""Keys of the card left out of the copy embedded in the .tflite, which they would make larger by a tenth."""


class ReleasedCard(EmotionCard):
    """The card of a released model: what a board reads, how the file was made, and its measured figures.

    calibration: data_set, split, rows (how many), sha256 (of the row numbers as text, one a line) and indices (the row
    numbers, from 0). verification: ways (precision, runtime, agreement and logit errors by output, milliseconds), and
    of the file: bytes, compressed, of_float, jitter, affect, instructions and not_run. The agreement of a way is over
    all faces of its splits, or over as many as `faces` gives. parity: figures for FairFace's groups
    (`training.evaluation.parity`); empty where not measured. balance: how `OutputSpec.balance` was chosen
    (`quantize.balance`).
    """

    calibration: Mapping[str, Any] = {}
    verification: Mapping[str, Any] = {}
    balance: Mapping[str, Any] = {}


def write_cards(
    folder: Path,
    version: str,
    command: str,
    measured: Measured,
    data: Dataset,
    heads: Mapping[str, int],
    input_shape: tuple[int, int, int],
    calibration: Calibration | Mapping[str, Any],
    run: TrainingConfig,
    crop: CropSpec,
    fairface: Path | None = None,
) -> ReleasedCard:
    """Write card.json and CARD.md beside folder/model.tflite, and embed labels and card in the file.

    Args:
        folder: The model's folder.
        version: The model's version.
        command: Commands that make the file, one a line.
        measured: Figures of the file and of the float network.
        data: Data set of the figures.
        heads: Number of outputs by head, the primary head first.
        input_shape: Height, width and channels.
        calibration: Calibration set, or what an earlier card holds of it.
        run: Settings of the training run, with the licence of the weights and the teacher.
        crop: The face crop that the board makes for the model.
        fairface: FairFace's place, to measure evenness between its groups; None: not measured.
    """
    model = folder / MODEL_FILE
    card = ReleasedCard(
        name=folder.resolve().name,
        version=version,
        sha256=UNKNOWN_SHA256,
        input=input_spec(input_shape, measured.precision == "int8"),
        licence=licence_text(run, data.name, heads),
        command=command,
        crop=crop,
        mirror=measured.mirror,
        outputs=tuple(
            _output(head, measured, data) for head in sorted(heads, key=lambda name: name != measured.primary)
        ),
        metrics=tuple(
            {"precision": row.precision, "runtime": row.runtime} | figure_facts(figure, data.name, measured.views)
            for row in measured.rows
            if row.faces is None
            for figure in row.figures
        ),
        calibration=calibration_facts(calibration) if isinstance(calibration, Calibration) else calibration,
    )
    inside = _without(card.model_dump(mode="json", exclude={"sha256", "verification", "parity", "self_test"}), BULKY)
    labels = {output.name: output.labels for output in card.outputs if output.labels}
    model.write_bytes(embed(model.read_bytes(), inside, labels, str(model)))
    measured = sized(measured, model)
    card = card.model_copy(update={"sha256": sha256_of(model), "verification": _verification(measured)})
    write_card(card, folder)
    card = card.model_copy(update={"self_test": add_self_test(folder)})
    rows: list[parity.Row] = []
    if fairface is not None:
        rows, _ = parity.parity(fairface, Settings.model_validate({"emotion": {"model": str(folder)}}))
        card = card.model_copy(update={"parity": json.loads(parity.as_json(rows, card.name))})
        write_card(card, folder)
    (folder / "CARD.md").write_text(_card_text(card, measured, data, run, rows), encoding="utf-8")
    return card


def input_spec(input_shape: tuple[int, int, int], int8: bool) -> InputSpec:
    """Describe a file's input for the card; `quantize.convert.check_file` has checked that it is so."""
    height, width, channels = input_shape
    return InputSpec(
        name=INPUT_NAME,
        height=height,
        width=width,
        channels=3 if channels == 3 else 1,
        dtype="int8" if int8 else "float32",
        scale=float(np.float32(SCALE)) if int8 else 1.0,
        zero_point=ZERO_POINT if int8 else 0,
        value_range=(0.0, 1.0),
    )


def calibration_facts(calibration: Calibration) -> dict[str, Any]:
    """Describe a calibration set for the card."""
    return {
        "data_set": calibration.data_set,
        "split": "Training",
        "rows": len(calibration.rows),
        "sha256": calibration.sha256,
        "indices": calibration.rows.tolist(),
    }


def _output(head: str, measured: Measured, data: Dataset) -> OutputSpec:
    if head == AFFECT:
        return OutputSpec(name=head, kind="valence_arousal", activation="linear")
    return OutputSpec(
        name=head,
        kind="emotion",
        activation="logits",
        label_set=head,
        labels=LABEL_SETS[head] if head in LABEL_SETS else data.labels[head].names,
        primary=head == measured.primary,
        temperature=round(measured.temperature(head), 4),
    )


def figure_facts(figure: Figures, data_set: str, views: int) -> dict[str, Any]:
    """Format the figures of a head on a split for JSON. views: views of each image; 0 if networks differ in that."""
    return {
        "data_set": data_set,
        "split": figure.split,
        "output": figure.head,
        "protocol": protocol(figure.head, data_set, views),
        "rows": figure.rows,
        "accuracy": round(figure.accuracy, 4),
        "accuracy_interval": [round(end, 4) for end in figure.accuracy_interval],
        "macro_f1": round(figure.macro_f1, 4),
        "recall": {label: round(value, 4) for label, value in figure.recall.items()},
        "confusion": figure.confusion.tolist(),
        "calibration_error": [round(value, 4) for value in figure.calibration],
    }


def _verification(measured: Measured) -> dict[str, Any]:
    return {
        "ways": [
            {
                "precision": row.precision,
                "runtime": row.runtime,
                "faces": row.faces,
                "splits": _splits(row),
                "agreement": {head: round(value, 4) for head, value in row.agreement.items()},
                "logit_error": {
                    head: {
                        "largest": dict(zip(error.labels, np.round(error.largest.astype(float), 3), strict=True)),
                        "mean": dict(zip(error.labels, np.round(error.mean.astype(float), 4), strict=True)),
                    }
                    for head, error in row.errors.items()
                },
                "milliseconds": None if row.milliseconds is None else round(row.milliseconds, 3),
            }
            for row in measured.rows[1:]
        ],
        "not_run": dict(measured.not_run),
        "bytes": measured.size,
        "compressed": measured.compressed,
        "of_float": None if measured.float_size is None else round(measured.size / measured.float_size, 3),
        "jitter_accuracy": round(measured.jitter, 4),
        "affect": [
            {
                "split": affect.split,
                "rows": affect.rows,
                "derived": affect.derived,
                "ccc": {"valence": round(affect.ccc[0], 4), "arousal": round(affect.ccc[1], 4)},
                "rmse": {"valence": round(affect.rmse[0], 4), "arousal": round(affect.rmse[1], 4)},
            }
            for affect in measured.affect
        ],
        "instructions": {
            cpu: {"file": round(count), "float": None if floating is None else round(floating)}
            for cpu, (count, floating) in measured.instructions.items()
        },
    }


def _splits(row: Row) -> list[str]:
    """Return the splits on whose faces the row's agreement was measured, in order."""
    return list(dict.fromkeys(figure.split for figure in row.figures))


def _without(value: Any, keys: Sequence[str]) -> Any:
    """Remove keys from a JSON value, at any depth."""
    if isinstance(value, dict):
        return {key: _without(part, keys) for key, part in value.items() if key not in keys}
    if isinstance(value, list):
        return [_without(part, keys) for part in value]
    return value


def _card_text(
    card: ReleasedCard, measured: Measured, data: Dataset, run: TrainingConfig, rows: Sequence[parity.Row]
) -> str:
    last = measured.shipped.figures[-1].split
    shown = [figure for figure in measured.shipped.figures if figure.split == last]
    primary = next(figure for figure in shown if figure.head == card.primary.name)
    protocols = {figure.head: protocol(figure.head, data.name, measured.views) for figure in shown}
    return CARD_TEXT.substitute(
        name=card.name,
        version=card.version,
        sha256=card.sha256,
        kilobytes=f"{measured.size / 1000:.0f}",
        precision=measured.precision,
        input=_input_text(card),
        outputs=_outputs_text(card),
        count=len(card.primary.labels),
        primary=card.primary.name,
        licence=card.licence,
        use=USE_TEXT,
        command=card.command,
        data=data_text(data, [output.name for output in card.outputs]),
        taught=taught_text(run.teacher, bool(run.mean_of)) + unlabelled_text(run.unlabelled),
        evenness=evenness_text(rows),
        calibration=calibration_text(card.calibration, measured.precision),
        figures=markdown(measured),
        classes="\n\n".join(class_table(figure, measured.precision) for figure in shown),
        splits=" and ".join(_splits(measured.shipped)),
        failures=failures_text(primary) + rare_text(data, primary.head),
        losses=losses_text(measured),
        data_failures=data_failures_text(source_of(data.name), bool(rows)),
        protocols="\n".join(f"- {head}: {said}." for head, said in protocols.items()),
        temperatures=", ".join(f"{it.name} {it.temperature:.3f}" for it in card.outputs if it.kind == "emotion"),
        few="".join(f"- {text}\n" for text in [too_few(primary)] if text),
        before=f"{primary.calibration[0]:.3f}",
        after=f"{primary.calibration[1]:.3f}",
        split=last,
    )


def _input_text(card: EmotionCard) -> str:
    spec = card.input
    colour = "grey" if spec.channels == 1 else "BGR"
    stored = f"{spec.dtype}, pixel - 128" if spec.dtype == "int8" else "float32, pixel / 255"
    twice = ", and run again on its mirror image: the mean of the outputs counts" if card.mirror else ""
    what = f"{colour} face" if card.crop.area == "face" else f"whole {colour} picture"
    return f"one {what}, {spec.width}x{spec.height}, {stored}{twice}"


def _outputs_text(card: EmotionCard) -> str:
    texts = []
    for output in card.outputs:
        if output.kind == "emotion":
            published = ", the published ones" if output.primary else ""
            texts.append(f"`{output.name}` (logits of {', '.join(output.labels)}{published})")
        else:
            texts.append(f"`{output.name}` (valence and arousal, -1 to 1)")
    return "; ".join(texts)


def command_of(card: EmotionCard, final: bool, mirror: bool) -> str:
    """Return the commands in an earlier card, with `--mirror` and `--final` adapted to the new measurement."""
    plain = re.sub(r" --(final|mirror)\b", "", card.command)
    return plain + (" --mirror" if mirror else "") + (" --final" if final else "")


def precision_of(card: EmotionCard) -> str:
    """Return the precision of a card's file: int8, float32, float16 or dynamic.

    It is that of the card's last figures: those of the float network come first, the file's own last.
    """
    if card.input.dtype == "int8":
        return "int8"
    return str(card.metrics[-1].get("precision", "float32")) if card.metrics else "float32"
