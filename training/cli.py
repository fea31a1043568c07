"""`emotion-train`: trains and evaluates float networks on face data sets."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.config.load import add_flags, load
from edge.emotion.committee import member_folders
from edge.errors import EmotionEdgeError
from edge.models.card import EmotionCard, read_card
from edge.system.program import run_program
from training import cli_use
from training.cli_options import add_data, network_folder, read, read_for
from training.config import TrainingConfig, read_config
from training.datasets.dataset import SPLITS, VALIDATION
from training.quiet import load_keras
from training.run_data import read_source

RUNS = Path("runs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 after an error of the user, printed as one line on standard error."""
    return run_program("emotion-train", lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        options = _parser().parse_args(arguments)
        run: Callable[[argparse.Namespace], None] = options.run
        run(options)
    except ModuleNotFoundError as error:
        backend = os.environ["KERAS_BACKEND"]
        if error.name != backend:
            raise
        raise EmotionEdgeError(f"KERAS_BACKEND={backend} is not installed: pip install {backend}") from error
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="emotion-train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    download = commands.add_parser("download", help="download a data set from Kaggle, with your own token")
    download.add_argument("reference", metavar="kaggle:OWNER/NAME", help="or kaggle:competitions/NAME, or the address")
    download.add_argument("--out", type=Path, default=Path("data"), help="folder for the files (data)")
    download.set_defaults(run=_download)

    explore = commands.add_parser("explore", help="describe a data set in one HTML page")
    add_data(explore)
    explore.add_argument("--out", type=Path, default=Path("explore.html"), help="(explore.html)")
    explore.add_argument(
        "--config", type=Path, metavar="CONFIG.yaml", help="settings of a run, to show its augmentation (the defaults)"
    )
    explore.set_defaults(run=_explore)

    prepare = commands.add_parser(
        "prepare", help="make a new data set: cut the faces, leave out unusable images, split"
    )
    add_data(prepare)
    prepare.add_argument("--out", type=Path, required=True, help="folder to make")
    prepare.add_argument(
        "--faces",
        choices=("auto", "crop", "full", "both"),
        default="auto",
        help="cut as on the board, whole images, or a data set of each (auto: whole where they are face crops already)",
    )
    prepare.add_argument("--size", type=int, default=256, help="longest side of a kept image, pixels (256)")
    prepare.add_argument("--split", metavar="80/10/10", help="new splits, stratified, by person where known")
    prepare.add_argument("--keep-near-duplicates", action="store_true", help="for series of one person in one pose")
    prepare.add_argument(
        "--judge",
        type=network_folder,
        metavar="RUN_OR_MODEL",
        help="network that finds likely wrong labels; must not have been trained on these faces",
    )
    prepare.add_argument("--drop-label-issues", action="store_true", help="leave likely wrong labels out of Training")
    prepare.add_argument("--seed", type=int, default=0)
    prepare.set_defaults(run=_prepare)

    networks = commands.add_parser("networks", help="list the networks and their cost")
    networks.set_defaults(run=_networks)

    fit = commands.add_parser("fit", help="train from a YAML file into runs/<name>; resumes an interrupted run")
    fit.add_argument("config", type=Path, metavar="CONFIG.yaml")
    fit.add_argument("--data", type=Path, help="folder or file of the data set (the YAML file's)")
    fit.add_argument("--epochs", type=int, help="number of epochs (the YAML file's)")
    fit.set_defaults(run=_fit)

    runs = commands.add_parser("runs", help="a table of runs side by side: figures, and the settings that differ")
    runs.add_argument(
        "folders", type=Path, nargs="*", default=[RUNS], metavar="RUN_DIR", help="runs, or what holds them (runs)"
    )
    runs.add_argument("--csv", type=Path, metavar="FILE", help="write the table there, too")
    runs.set_defaults(run=_runs)

    crossval = commands.add_parser(
        "crossval",
        help="k-fold or leave-one-subject-out evaluation: a run for each fold, judged on what it did not see",
    )
    crossval.add_argument("config", type=Path, metavar="CONFIG.yaml")
    how = crossval.add_mutually_exclusive_group()
    how.add_argument("--folds", type=int, default=5, help="number of folds, a person's faces in one (5)")
    how.add_argument("--people", action="store_true", help="a fold for each person: leave one subject out")
    crossval.add_argument("--data", type=Path, help="instead of the file's data path")
    crossval.set_defaults(run=_crossval)

    sweep = commands.add_parser(
        "sweep", help="runs with settings chosen by Optuna from ranges; continued where stopped"
    )
    sweep.add_argument("sweep", type=Path, metavar="SWEEP.yaml")
    sweep.add_argument("--data", type=Path, help="instead of the file's data path")
    sweep.set_defaults(run=_sweep)

    soup = commands.add_parser("soup", help="average the weights of runs that continue one another")
    soup.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR")
    soup.add_argument("--out", type=Path, required=True, metavar="RUN_DIR", help="folder to make, such as runs/mean")
    soup.set_defaults(run=_soup)

    distill = commands.add_parser(
        "distill", help="save the outputs of a run, or the mean of several, as soft labels of the training faces"
    )
    distill.add_argument("runs", type=network_folder, nargs="+", metavar="RUN_DIR")
    distill.add_argument("--out", type=Path, required=True, metavar="SOFT_LABELS.npz")
    distill.add_argument(
        "--unlabelled",
        type=Path,
        metavar="FACES",
        help="make soft labels of these faces instead: FairFace, or photographs",
    )
    distill.add_argument(
        "--balance",
        type=float,
        default=0.5,
        help="part of the log priors to subtract for unlabelled faces, 0 to 1 (0.5)",
    )
    add_data(distill, option=True)
    distill.set_defaults(run=_distill)

    cli_use.add_commands(commands)

    parity = commands.add_parser(
        "parity", help="measure how even a model is between the groups of FairFace's validation faces"
    )
    parity.add_argument(
        "--data", type=Path, required=True, metavar="FAIRFACE", help="fairface-val.zip, or FairFace's folder"
    )
    parity.add_argument("--model", default="emotion-small", help="name or folder of a released model or committee")
    parity.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    parity.set_defaults(run=_parity)

    conditions = commands.add_parser(
        "conditions", help="measure far, dim, rolled and blurred faces through the board's detector, crop and network"
    )
    add_data(conditions)
    conditions.add_argument(
        "--split", choices=SPLITS, default=VALIDATION, help=f"split of a labelled data set ({VALIDATION})"
    )
    conditions.add_argument("--count", type=int, default=500, help="largest number of faces (500)")
    conditions.add_argument("--seed", type=int, default=0)
    conditions.add_argument("--out", type=Path, metavar="FILE.json", help="figures and settings as JSON")
    conditions.add_argument("--before", type=Path, metavar="FILE.json", help="an earlier --out, to plot both")
    conditions.add_argument("--plot", type=Path, metavar="FILE.svg")
    add_flags(conditions)
    conditions.set_defaults(run=_conditions)

    for name, text, run in (
        ("evaluate", "print the figures of a network or a committee", _evaluate),
        ("report", "write the figures as an HTML page with plots and pictures, and as Markdown", _report),
    ):
        judge = commands.add_parser(name, help=text)
        judge.add_argument(
            "networks", type=network_folder, nargs="+", metavar="RUN_OR_MODEL",
            help="folders of runs, or names of released models; several are a committee, the first decides ties",
        )  # fmt: skip
        judge.add_argument("--final", action="store_true", help="also measure PrivateTest: once, for the final figure")
        judge.add_argument(
            "--labels", action="append", default=[], metavar="SET", help="also evaluate with this label set"
        )
        add_data(judge, option=True)
        if name == "report":
            judge.add_argument("--out", type=Path, help="folder (runs/<the first network>/report)")
        judge.set_defaults(run=run)
    return parser


# Keras, its backend and the plots take seconds to load: each command loads what it needs, after its arguments are read.


def _download(options: argparse.Namespace) -> None:
    from training.download import download

    print(f"unpacked into {download(options.reference, options.out)}")


def _explore(options: argparse.Namespace) -> None:
    from training.config import read_config
    from training.explore import explore

    config = (
        read_config(options.config)
        if options.config
        else TrainingConfig.model_validate({"name": "defaults", "epochs": 1})
    )
    print(f"wrote {explore(read(options), options.out, options.data, config)}")


def _prepare(options: argparse.Namespace) -> None:
    from training.prepare import PrepareSettings, parse_split, prepare

    settings = PrepareSettings(
        faces=options.faces,
        size=options.size,
        split=parse_split(options.split) if options.split else None,
        near_duplicates=not options.keep_near_duplicates,
        judge=options.judge,
        drop_label_issues=options.drop_label_issues,
        seed=options.seed,
    )
    if options.judge:
        load_keras()
    summary = prepare(read(options), options.out, settings)
    print(summary.table())
    print("wrote " + ", ".join(map(str, summary.folders)))


def _networks(_: argparse.Namespace) -> None:
    load_keras()
    from training.compare import overview

    print(overview())


def _fit(options: argparse.Namespace) -> None:
    config = read_config(options.config, {} if options.epochs is None else {"epochs": options.epochs})
    # The run's seed does not change the splits: runs, teachers and committees must share one cut.
    data = read_source(config.data, options.data)
    load_keras()
    from training.backend import workers
    from training.fit import fit

    path = fit(config, data, RUNS / config.name)
    if workers().chief:
        print(f"wrote {path}")


def _runs(options: argparse.Namespace) -> None:
    import csv

    from training.runs import markdown, read_run, runs_in, table

    rows = table([read_run(folder) for folder in runs_in(options.folders)])
    print(markdown(rows))
    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def _crossval(options: argparse.Namespace) -> None:
    config = read_config(options.config)
    data = read_source(config.data, options.data)
    load_keras()
    from training.crossval import cross_validate

    out = RUNS / config.name
    print(cross_validate(config, data, out, None if options.people else options.folds).text())
    print(f"wrote {out}")


def _sweep(options: argparse.Namespace) -> None:
    load_keras()
    from training.runs import markdown, read_run, table
    from training.sweep import read_sweep, sweep

    settings = read_sweep(options.sweep)
    config = read_config(settings.config)
    out = RUNS / options.sweep.stem
    print(markdown(table([read_run(run) for run in sweep(settings, read_source(config.data, options.data), out)])))


def _soup(options: argparse.Namespace) -> None:
    load_keras()
    from training.soup import soup

    print(f"wrote {soup(options.runs, options.out)}")


def _distill(options: argparse.Namespace) -> None:
    load_keras()
    from training.datasets.unlabelled import read_unlabelled
    from training.distill import distill, distill_unlabelled

    if options.unlabelled:
        faces, labelled = read_unlabelled(options.unlabelled), read_for(options.runs, options)
        first = distill_unlabelled(options.runs, faces, labelled, options.out, options.balance)
        for head, counts in first.items():
            print(f"{head}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
        print(f"wrote {options.out}")
        return
    right = distill(options.runs, read_for(options.runs, options), options.out)
    if right:
        figures = ", ".join(f"{head} {part:.2%}" for head, part in right.items())
        print(f"mean of {len(options.runs)} and of each face and its mirror image, PublicTest: {figures}")
    print(f"wrote {options.out}")


def _parity(options: argparse.Namespace) -> None:
    from edge.config import Settings
    from training.evaluation.parity import NOTE, as_json, parity, table

    rows, _ = parity(options.data, Settings.model_validate({"emotion": {"model": options.model}}))
    print(*table(rows), "", NOTE, sep="\n")
    if options.json:
        options.json.write_text(as_json(rows, options.model) + "\n", encoding="utf-8")


def _conditions(options: argparse.Namespace) -> None:
    from training.evaluation import conditions
    from training.pages.figures import write_svg

    settings = load(options)
    if options.data.suffix == ".zip":
        faces = conditions.read_zip(options.data, options.count, options.seed)
    else:
        label_set = read_card(EmotionCard, member_folders(settings.emotion.model)[0]).primary.label_set
        faces = conditions.labelled_faces(read(options), label_set, options.split, options.count, options.seed)
    figures = conditions.measure(faces, settings, seed=options.seed, progress=logging.info)
    print("\n".join(conditions.table(figures)))
    if options.out:
        content = conditions.as_json(faces, settings, figures, options.seed)
        options.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if options.plot:
        before = conditions.read_json(options.before) if options.before else None
        plot = conditions.plot(before, figures) if before else conditions.plot(figures)
        write_svg(plot, options.plot, "Share of faces found, and with the right or same label, by condition")


def _evaluate(options: argparse.Namespace) -> None:
    load_keras()
    from training.report import evaluate

    print(evaluate(options.networks, read_for(options.networks, options), options.final, options.labels))


def _report(options: argparse.Namespace) -> None:
    load_keras()
    from training.report import report

    out = options.out or RUNS / options.networks[0].resolve().name / "report"
    data = read_for(options.networks, options)
    written = report(options.networks, data, out, options.final, options.labels)
    print("wrote " + " and ".join(map(str, written)))


if __name__ == "__main__":
    sys.exit(main())
