"""The subcommands of `emotion-train` that use a trained network: `predict` and `export`."""

import argparse
import os
from pathlib import Path
from typing import Any

from training.cli_options import add_data, network_folder, read_for


def add_commands(commands: Any) -> None:
    """Add the subcommands to the parsers of `emotion-train`."""
    predict = commands.add_parser("predict", help="write predictions for images without labels: a submission")
    predict.add_argument("network", type=network_folder, metavar="RUN_OR_MODEL")
    predict.add_argument("images", type=Path, metavar="FOLDER", help="images, in subfolders too")
    predict.add_argument("--out", type=Path, default=Path("submission.csv"), help="(submission.csv)")
    predict.add_argument("--sample", type=Path, metavar="FILE.csv", help="a competition's sample_submission.csv")
    predict.add_argument(
        "--columns", type=_pair, metavar="FILE,LABEL", help="names of the columns (image_path,emotion, or the sample's)"
    )
    predict.add_argument("--mapping", type=Path, help="YAML file of `own class name: emotion` lines: names to write")
    predict.add_argument("--scores", action="store_true", help="a column for each class, with its probability")
    predict.add_argument("--affect", action="store_true", help="columns of valence and arousal, too")
    predict.add_argument("--head", metavar="SET", help="label set to predict (the primary one)")
    predict.add_argument(
        "--faces",
        choices=("auto", "crop", "full"),
        default="auto",
        help="cut the largest face as the board does, or use whole images (auto: whole for a run, and for a model "
        "where the images are faces already)",
    )
    predict.set_defaults(run=_predict)

    export = commands.add_parser("export", help="write a network for other programs, or its data as NumPy files")
    export.add_argument(
        "network", type=network_folder, metavar="RUN_DIR", help="or a released model with its network.keras"
    )
    export.add_argument("--to", required=True, choices=("keras", "h5", "savedmodel", "onnx", "npy-data"))
    export.add_argument("--out", type=Path, required=True, help="file, or folder for savedmodel and npy-data")
    add_data(export, option=True)
    export.set_defaults(run=_export)


# As in training.cli, each command imports what it needs.


def _pair(text: str) -> tuple[str, str]:
    first, _, second = text.partition(",")
    if not first.strip() or not second.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not two names of columns, such as image_path,emotion")
    return first.strip(), second.strip()


def _predict(options: argparse.Namespace) -> None:
    from training.predict import predict_files
    from training.submission import read_submission

    form = read_submission(options.sample, options.columns, options.mapping, options.scores, options.affect)
    counts = predict_files(options.network, options.images, options.out, form, options.head, options.faces)
    print(", ".join(f"{label or 'cannot be read'} {count}" for label, count in sorted(counts.items())))
    print(f"wrote {options.out}")


def _export(options: argparse.Namespace) -> None:
    # Independent of the backend of the training. Keras reads the variable at import, so it is imported later.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from training.export import export_data, export_network

    if options.to == "npy-data":
        counts = export_data(options.network, read_for([options.network], options), options.out)
        print(", ".join(f"{name} {count}" for name, count in counts.items()))
        print(f"wrote {options.out}")
    else:
        print("wrote " + " and ".join(map(str, export_network(options.network, options.to, options.out))))
