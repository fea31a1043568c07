"""`emotion-quantize`: converts a float network to an int8 file with its card, and checks that the two agree."""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.emotion.committee import COMMITTEE_FILE, Rule
from edge.errors import EmotionEdgeError
from edge.models.card import MODEL_FILE, EmotionCard, read_card
from edge.system.program import run_program, whole_number
from quantize.calibration import SAMPLES, read_rows
from training.config import CONFIG_FILE, NETWORK_FILE, read_config
from training.datasets.dataset import FINAL
from training.quiet import load_keras
from training.run_data import read_run_data


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0, or with one line on standard error 2 for something the user can mend and 1 for an int8 file
        that does not agree with the float network.
    """
    return run_program("emotion-quantize", lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    # Independent of the backend of the training. Keras reads the variable at import, so it is imported later.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    options = _parser().parse_args(arguments)
    does = {
        "verify": _verify,
        "card": _card,
        "committee": _committee,
        "edgetpu": _edgetpu,
        "balance": _balance,
        "evenness": _evenness,
        "mirror": _mirror,
        "show": _show,
        "keras": _keras,
        "mine": _mine,
    }
    does.get(options.command, _make)(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="emotion-quantize", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    qat = commands.add_parser("qat", help="convert to int8 with quantization-aware training: nearest to float")
    ptq = commands.add_parser("ptq", help="convert to int8 after training: takes a minute")
    plain = commands.add_parser("float", help="convert with float input and outputs: float32, float16 or dynamic range")
    verify = commands.add_parser("verify", help="compare float and the file in every interpreter, in one table")
    card = commands.add_parser("card", help="measure a file again and write its card anew")
    committee = commands.add_parser(
        "committee", help="combine models into a committee: committee.json, measured, with a card"
    )
    edgetpu = commands.add_parser("edgetpu", help="list what an Edge TPU would run of a file, and why not the rest")
    balance = commands.add_parser(
        "balance", help="choose emotion.balance, the weight of rare emotions, and write it into the cards"
    )
    mirror = commands.add_parser(
        "mirror", help="choose the confidence below which a model is also run on the mirror image, and write it"
    )
    for command in (balance, mirror):
        command.add_argument("models", type=Path, nargs="+", metavar="MODEL_DIR")
        command.add_argument("--data", type=Path, required=True, help="folder or file of the data set")
        command.add_argument(
            "--final", action="store_true", help="also measure PrivateTest: once, for the final figure"
        )
    evenness = commands.add_parser(
        "evenness", help="measure how evenly a model treats FairFace's groups, and write it into its card"
    )
    evenness.add_argument("models", type=Path, nargs="+", metavar="MODEL_DIR", help="models or committees")
    evenness.add_argument("--fairface", type=Path, required=True, help="FairFace's validation faces")
    show = commands.add_parser("show", help="print the card and the labels inside a file")
    keras = commands.add_parser(
        "keras", help="convert any Keras vision model to int8, with example images for calibration"
    )
    mine = commands.add_parser(
        "mine", help="make a model from a folder of your own photographs: faces, training, int8, card"
    )
    mine.add_argument("photographs", type=Path, metavar="PHOTOS", help="a folder of photographs for each emotion")
    mine.add_argument("--out", type=Path, required=True, metavar="MODEL_DIR", help="the model's folder to write")
    mine.add_argument(
        "--start", default="emotion-small", metavar="MODEL", help="released model to start from (emotion-small)"
    )
    mine.add_argument("--mapping", type=Path, help="YAML file of `own class name: label` lines")
    mine.add_argument("--label-set", metavar="SET", help="own: keep class names that are no emotion")
    keras.add_argument("network", type=Path, metavar="FILE.keras")
    keras.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="some hundreds of typical images")
    keras.add_argument("--out", type=Path, required=True, metavar="FILE.tflite")
    keras.add_argument(
        "--value-range",
        type=float,
        nargs=2,
        default=(0.0, 1.0),
        metavar=("LOW", "HIGH"),
        help="input values of black and white (0 1; 0 255 for a network that begins with Rescaling)",
    )
    keras.add_argument(
        "--import",
        dest="imported",
        action="append",
        default=[],
        metavar="MODULE",
        help="module or .py file with the network's own layers and functions; may be given several times",
    )
    qat.add_argument("--epochs", type=whole_number(1), default=2, help="number of epochs (2)")
    qat.add_argument("--learning-rate", type=_above_zero, default=1e-5, help="peak learning rate (0.00001)")
    qat.add_argument(
        "--soft-labels", type=Path, metavar="FILE.npz", help="also learn from these probabilities of a teacher"
    )
    slimmer = ptq.add_mutually_exclusive_group()
    slimmer.add_argument(
        "--prune", type=_part, metavar="PART", help="fraction of the weights to set to zero first, 0 to 1"
    )
    slimmer.add_argument("--cluster", type=whole_number(2), metavar="N", help="number of distinct weights in a layer")
    plain.add_argument("--precision", choices=("float32", "float16", "dynamic"), default="float16", help="(float16)")
    for command in (qat, ptq):
        command.add_argument("--calibration", type=Path, metavar="ROWS.txt", help="rows of the data set, one a line")
    for command, drawn in (
        (qat, "or so many drawn from Training"),
        (ptq, "or so many drawn from Training"),
        (keras, "so many of them set the ranges"),
    ):
        command.add_argument("--samples", type=whole_number(1), default=SAMPLES, help=f"{drawn} ({SAMPLES})")
    for command in (qat, ptq, keras):
        command.add_argument(
            "--force", action="store_true", help="write the file also where it hardly ever agrees with float"
        )
    for command in (qat, ptq, plain):
        command.add_argument("run", type=Path, metavar="RUN_DIR")
    for command in (verify, card):
        command.add_argument("model", type=Path, metavar="MODEL_DIR")
    verify.add_argument("--run", type=Path, help="the run the model was made from (not needed for a released model)")
    card.add_argument("--run", type=Path, required=True, help="the run the model was made from")
    verify.add_argument("--layers", action="store_true", help="also print the error of int8 by layer")
    committee.add_argument(
        "members", nargs="+", metavar="MODEL", help="name or folder of a model; the first decides ties"
    )
    committee.add_argument(
        "--mirror", action="store_true", help="each member also classifies the mirrored face: twice the cost"
    )
    committee.add_argument("--mean", action="store_true", help="decide by the mean of the probabilities, not by votes")
    for command in (qat, ptq, plain, committee):
        command.add_argument(
            "--out", type=Path, required=True, help="the model's folder; its name becomes the model's name"
        )
        command.add_argument("--model-version", default="1.0.0", help="(1.0.0)")
    for command in (qat, ptq, plain, verify, card, committee):
        command.add_argument("--data", type=Path, help="the data set (the run's; else data)")
        command.add_argument("--final", action="store_true", help=f"also measure {FINAL}: once, for the final figure")
    for command in (qat, ptq, plain, card):
        command.add_argument(
            "--mirror", action="store_true", help="the board averages each face and its mirror image: twice the cost"
        )
    for command in (qat, ptq, plain, verify, card):
        command.add_argument("--arm", action="store_true", help="also verify on emulated aarch64: takes minutes")
    for command in (qat, ptq, plain, card):
        command.add_argument(
            "--fairface", type=Path, metavar="FAIRFACE", help="add the evenness between FairFace's groups to the card"
        )
    for command in (edgetpu, show):
        command.add_argument("model", type=Path, metavar="MODEL", help="a .tflite file or a model's folder")
    return parser


def _above_zero(text: str) -> float:
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _number(text: str) -> float:
    """Parse a number; NaN if the text is not one."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _part(text: str) -> float:
    part = _number(text)
    if not 0 < part < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number between 0 and 1")
    return part


def _make(options: argparse.Namespace) -> None:
    # TensorFlow takes seconds to load, so errors that can be found without it are reported first.
    if options.run.is_file() or (options.run / "saved_model.pb").is_file():
        raise EmotionEdgeError(
            f"{options.run}: a network, and no run of `emotion-train`; for any Keras network: `emotion-quantize keras "
            f"{options.run} --images FOLDER --out FILE.tflite`"
        )
    read_config(options.run / CONFIG_FILE)
    if options.command != "float" and options.calibration:
        read_rows(options.calibration)
    load_keras()
    from quantize.make import make

    make(options)


def _verify(options: argparse.Namespace) -> None:
    if (options.model / COMMITTEE_FILE).is_file():
        raise EmotionEdgeError(
            f"{options.model}: is a committee; verify its members, and judge it by `emotion-train report`"
        )
    read_card(EmotionCard, options.model)
    if options.run is None and not (options.model / NETWORK_FILE).is_file():
        raise EmotionEdgeError(f"{options.model}: has no {NETWORK_FILE} in it; give the run it was made from as --run")
    load_keras()
    from quantize.make import verify

    verify(options)


def _card(options: argparse.Namespace) -> None:
    read_card(EmotionCard, options.model)
    read_config(options.run / CONFIG_FILE)
    load_keras()
    from quantize.make import write_card_again

    write_card_again(options)


def _committee(options: argparse.Namespace) -> None:
    load_keras()
    from quantize.committee import write_committee

    words = ["emotion-quantize committee", *options.members, f"--out models/{options.out.resolve().name}"]
    words += [f"--{name}" for name in ("mirror", "mean") if getattr(options, name)]
    words += [f"--model-version {options.model_version}", *(["--final"] if options.final else [])]
    version, command = options.model_version, " ".join(words)
    rule: Rule = "mean" if options.mean else "vote"
    data = read_run_data([], options.data)
    path = write_committee(options.members, options.out, version, options.mirror, rule, command, data, options.final)
    print((path.parent / "CARD.md").read_text(encoding="utf-8").split("## Figures\n", 1)[1])
    print(f"wrote {path}")


def _file(path: Path) -> Path:
    return path / MODEL_FILE if path.is_dir() else path


def _edgetpu(options: argparse.Namespace) -> None:
    from quantize.edgetpu import inspect, text

    path = _file(options.model)
    print(text(inspect(path), str(path)))


def _balance(options: argparse.Namespace) -> None:
    from quantize.balance import run
    from training.datasets import read_dataset

    run(options.models, read_dataset(options.data), options.final)


def _mirror(options: argparse.Namespace) -> None:
    from quantize.mirror import run
    from training.datasets import read_dataset

    run(options.models, read_dataset(options.data), options.final)


def _evenness(options: argparse.Namespace) -> None:
    from quantize.evenness import add_evenness

    for folder in options.models:
        print(add_evenness(folder, options.fairface), flush=True)


def _show(options: argparse.Namespace) -> None:
    from quantize.metadata import read

    card, labels = read(_file(options.model))
    print(json.dumps(card, indent=2))
    for output, names in labels.items():
        print(f"{output}: {', '.join(names)}")


def _mine(options: argparse.Namespace) -> None:
    load_keras()
    from quantize.mine import make_mine

    print(make_mine(options.photographs, options.out, options.start, options.mapping, options.label_set).text())
    print(f"run it:  emotion-edge run --emotion.model {options.out}")


def _keras(options: argparse.Namespace) -> None:
    low, high = options.value_range
    if not low < high:
        raise EmotionEdgeError(f"--value-range {low:g} {high:g}: black comes first, and is less than white")
    load_keras()
    from quantize.keras_file import quantize_file, text
    from quantize.keras_reader import objects_of

    own = objects_of(options.imported)
    outcome = quantize_file(
        options.network, options.images, options.out, (low, high), options.samples, own=own, force=options.force
    )
    print(text(outcome))
    print(f"wrote {options.out}")


if __name__ == "__main__":
    sys.exit(main())
