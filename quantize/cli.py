"""`emotion-quantize`: a float network to an int8 file with its card, and the proof that the two agree."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.card import EmotionCard, read_card
from edge.errors import EmotionEdgeError
from training.config import read_config
from training.datasets.fer2013 import read_fer2013

# The epoch and the temperatures are chosen on the first; the second chooses nothing.
VALIDATION, TEST = "PublicTest", "PrivateTest"


def main(arguments: Sequence[str] | None = None) -> int:
    """Gives the exit status: 0, or 2 with one line on standard error for something the user can mend."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    options = _parser().parse_args(arguments)
    try:
        if options.command == "verify":
            _verify(options)
        else:
            _make(options)
    except EmotionEdgeError as error:
        print(f"emotion-quantize: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="emotion-quantize", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    qat = commands.add_parser("qat", help="quantization-aware training: the accurate way")
    qat.add_argument("--epochs", type=int, default=5, help="over the training split (5)")
    qat.add_argument("--learning-rate", type=float, default=3e-4, help="its peak (0.0003)")
    ptq = commands.add_parser("ptq", help="post-training quantization: the cheap way")
    for command in (qat, ptq):
        command.add_argument("run", type=Path, metavar="RUN_DIR")
        command.add_argument("--out", type=Path, required=True, help="the model's folder; its name is the model's")
        command.add_argument("--model-version", default="1.0.0", help="(1.0.0)")
    verify = commands.add_parser("verify", help="float against int8 in every interpreter, as one table")
    verify.add_argument("model", type=Path, metavar="MODEL_DIR")
    verify.add_argument("--run", type=Path, required=True, help="the run it was made from")
    for command in (qat, ptq, verify):
        command.add_argument(
            "--data", type=Path, default=Path("data"), help="folder of fer2013.csv and fer2013new.csv (data)"
        )
        command.add_argument("--final", action="store_true", help=f"{TEST} too: once, for the final figure")
    return parser


def _splits(options: argparse.Namespace) -> tuple[str, ...]:
    return (VALIDATION, TEST) if options.final else (VALIDATION,)


def _make(options: argparse.Namespace) -> None:
    data = read_fer2013(options.data)
    # TensorFlow takes seconds to load: what can be said before is said before.
    from quantize.card import write_cards
    from quantize.verify import measure, table

    if options.command == "qat":
        from quantize.aware import AwareSettings, quantize_aware

        settings = AwareSettings(options.epochs, options.learning_rate)
        path = quantize_aware(options.run, data, options.out, settings)
    else:
        from quantize.post_training import quantize_after_training

        path = quantize_after_training(options.run, data, options.out)
    measured = measure(options.out, options.run, data, _splits(options))
    write_cards(options.out, options.model_version, _commands(options), measured)
    print(table(measured))
    print(f"wrote {path}")


def _commands(options: argparse.Namespace) -> str:
    """The two commands that make the file, one a line, with the data in its default place."""
    config = read_config(options.run / "config.yaml")
    parts = ["emotion-quantize", options.command, f"runs/{config.name}", f"--out models/{options.out.resolve().name}"]
    if options.command == "qat":
        parts.append(f"--epochs {options.epochs} --learning-rate {options.learning_rate:g}")
    parts.append(f"--model-version {options.model_version}" + (" --final" if options.final else ""))
    return f"emotion-train fit training/configs/{config.name}.yaml\n{' '.join(parts)}"


def _verify(options: argparse.Namespace) -> None:
    read_card(EmotionCard, options.model)
    data = read_fer2013(options.data)
    from quantize.verify import measure, table

    print(table(measure(options.model, options.run, data, _splits(options))))


if __name__ == "__main__":
    sys.exit(main())
