"""`emotion-train`: fit a float network and judge it."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.errors import EmotionEdgeError
from training.config import read_config
from training.datasets.fer2013 import read_fer2013

RUNS = Path("runs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Gives the exit status: 0, or 2 with one line on standard error for something the user can mend."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        if options.command == "fit":
            _fit(options)
        else:
            _evaluate(options)
    except EmotionEdgeError as error:
        print(f"emotion-train: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="emotion-train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("fit", help="train from a YAML file into runs/<name>; carries on where it was stopped")
    fit.add_argument("config", type=Path, metavar="CONFIG.yaml")
    fit.add_argument("--epochs", type=int, help="instead of the file's number")
    evaluate = commands.add_parser("evaluate", help="figures of a finished run")
    evaluate.add_argument("run", type=Path, metavar="RUN_DIR")
    evaluate.add_argument("--final", action="store_true", help="PrivateTest too: once, for the final figure")
    for command in (fit, evaluate):
        command.add_argument(
            "--data", type=Path, default=Path("data"), help="folder of fer2013.csv and fer2013new.csv (data)"
        )
    return parser


def _fit(options: argparse.Namespace) -> None:
    config = read_config(options.config)
    if options.epochs is not None:
        config = config.model_copy(update={"epochs": options.epochs})
    data = read_fer2013(options.data)
    # Keras and its backend take seconds to load: what can be said before is said before.
    from training.fit import fit

    path = fit(config, data, RUNS / config.name)
    print(f"wrote {path}")


def _evaluate(options: argparse.Namespace) -> None:
    from training.evaluate import evaluate_run, report

    splits = ("PublicTest", "PrivateTest") if options.final else ("PublicTest",)
    print(report(evaluate_run(options.run, read_fer2013(options.data), splits)))


if __name__ == "__main__":
    sys.exit(main())
