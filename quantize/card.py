"""The card of a released model: `card.json` for programs, `CARD.md` for people, both from the same measurement."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.card import MODEL_FILE, CropSpec, EmotionCard, InputSpec, OutputSpec, sha256_of, write_card
from edge.labels import LABEL_SETS
from edge.runtime import installed
from quantize.card_text import CARD_TEXT
from quantize.convert import INPUT_NAME, ZERO_POINT
from quantize.interpreters import run_in
from quantize.verify import FLOAT, Measured
from training.evaluate import PROTOCOLS, Figures
from training.networks.plain_residual import HEADS, INPUT_SHAPE

LICENCE = (
    "Apache-2.0 (the weights). Trained on FER-2013, whose images carry no licence that was found and are for research, "
    "and on the FER+ votes (MIT, Microsoft)."
)
DATA_SET = "FER-2013"
PRIMARY = "fer7"


def write_cards(folder: Path, version: str, command: str, measured: Measured) -> EmotionCard:
    """Write card.json and CARD.md beside folder/model.tflite. command: what made the file, one line a command."""
    model = folder / MODEL_FILE
    name, *_ = installed()
    image = run_in(name, model, np.zeros((1, *INPUT_SHAPE[:2]), np.uint8)).inputs[INPUT_NAME]
    height, width, _ = INPUT_SHAPE
    card = EmotionCard(
        name=folder.resolve().name,
        version=version,
        sha256=sha256_of(model),
        input=InputSpec(
            name=INPUT_NAME,
            height=height,
            width=width,
            channels=1,
            dtype="int8",
            scale=image["scale"],
            zero_point=ZERO_POINT,
            value_range=(0.0, 1.0),
        ),
        licence=LICENCE,
        command=command,
        crop=CropSpec(),
        outputs=tuple(
            OutputSpec(
                name=head,
                kind="emotion",
                activation="logits",
                label_set=head,
                labels=LABEL_SETS[head],
                primary=head == PRIMARY,
                temperature=round(measured.temperature(head), 4),
            )
            for head in HEADS
        ),
        metrics=tuple(_metric(runtime, figure) for runtime, found in measured.figures.items() for figure in found),
    )
    write_card(card, folder)
    (folder / "CARD.md").write_text(_card_text(card, measured), encoding="utf-8")
    return card


def _runtime(name: str) -> str:
    return f"keras {keras.__version__}" if name == FLOAT else f"{name} {installed()[name]}"


def _metric(runtime: str, figure: Figures) -> dict[str, Any]:
    """One entry of `metrics`; fractions with four digits."""
    return {
        "precision": "float32" if runtime == FLOAT else "int8",
        "runtime": _runtime(runtime),
        "data_set": DATA_SET,
        "split": figure.split,
        "output": figure.head,
        "protocol": PROTOCOLS[figure.head],
        "rows": figure.rows,
        "accuracy": round(figure.accuracy, 4),
        "macro_f1": round(figure.macro_f1, 4),
        "recall": {label: round(value, 4) for label, value in figure.recall.items()},
        "confusion": figure.confusion.tolist(),
        "calibration_error": [round(value, 4) for value in figure.calibration],
    }


def _card_text(card: EmotionCard, measured: Measured) -> str:
    last = measured.int8[-1].split
    shown = [figure for figure in measured.int8 if figure.split == last]
    fer7 = next(figure for figure in shown if figure.head == PRIMARY)
    return CARD_TEXT.substitute(
        name=card.name,
        version=card.version,
        sha256=card.sha256,
        kilobytes=f"{measured.size / 1000:.0f}",
        licence=card.licence,
        command=card.command,
        figures=_figures_table(measured),
        classes="\n\n".join(_class_table(figure) for figure in shown),
        failures=_failures(fer7),
        fer7_protocol=PROTOCOLS["fer7"],
        ferplus8_protocol=PROTOCOLS["ferplus8"],
        temperatures=", ".join(f"{output.name} {output.temperature:.3f}" for output in card.outputs),
        before=f"{fer7.calibration[0]:.3f}",
        after=f"{fer7.calibration[1]:.3f}",
        split=last,
    )


def _figures_table(measured: Measured) -> str:
    heads = [f"{figure.split} {figure.head}" for figure in measured.figures[FLOAT]]
    lines = ["| | " + " | ".join(heads) + " | same fer7 label as float |", "|---" * (len(heads) + 2) + "|"]
    for name, found in measured.figures.items():
        title = ("float32, " if name == FLOAT else "int8, ") + _runtime(name)
        same = "" if name == FLOAT else f"{measured.agreement[name]:.2%}"
        lines.append(f"| {title} | " + " | ".join(f"{figure.accuracy:.2%}" for figure in found) + f" | {same} |")
    return "\n".join(lines)


def _class_table(figure: Figures) -> str:
    labels = LABEL_SETS[figure.head]
    lines = [
        f"{figure.head}, {figure.split}, int8: accuracy {figure.accuracy:.2%}, macro-F1 {figure.macro_f1:.2%}, "
        f"n = {figure.rows}. Rows are the true class, columns what the network said.",
        "",
        "| true | recall | " + " | ".join(labels) + " |",
        "|---" * (len(labels) + 2) + "|",
    ]
    for label, row in zip(labels, figure.confusion, strict=True):
        lines.append(f"| {label} | {figure.recall[label]:.1%} | " + " | ".join(str(count) for count in row) + " |")
    return "\n".join(lines)


def _failures(figure: Figures) -> str:
    """The weakest classes and the commonest mistakes, from the confusion matrix."""
    labels = LABEL_SETS[figure.head]
    weak = sorted(figure.recall.items(), key=lambda item: item[1])[:3]
    lines = [f"- Of the faces labelled {label} it finds {value:.0%}." for label, value in weak]
    return "\n".join(lines + [f"- {text}" for text in _mistakes(labels, figure.confusion)])


def _mistakes(labels: Sequence[str], matrix: np.ndarray[Any, np.dtype[np.int64]], count: int = 4) -> list[str]:
    rates = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(rates, 0)
    order = np.argsort(rates, axis=None)[::-1][:count]
    pairs = [divmod(int(place), len(labels)) for place in order]
    return [f"{rates[true, said]:.0%} of {labels[true]} is called {labels[said]}." for true, said in pairs]
