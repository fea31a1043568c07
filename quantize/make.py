"""The procedures of `emotion-quantize qat`, `ptq`, `float`, `verify` and `card`: make a model file from a trained
network, measure it against the float network, and write its card.
"""

import argparse
import json
import shutil

from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS
from edge.models.card import CARD_FILE, MODEL_FILE, EmotionCard, read_card
from quantize.agreement import check_agreement
from quantize.atomic_folder import arriving
from quantize.calibration import Calibration, calibration_set, pinned_calibration_set, read_rows, representative
from quantize.card import ReleasedCard, command_of, precision_of, write_cards
from quantize.convert import to_float, to_int8, write_file
from quantize.fine_tune import Lesson
from quantize.float_run import Source, read_source
from quantize.kept_figures import keep_figures
from quantize.layers import layer_errors
from quantize.made_by import commands_of_file
from quantize.prune_and_cluster import lesson_of, slimmed
from quantize.qat import train_aware
from quantize.tf_keras_copy import twin_of
from quantize.verify import measure, sized
from quantize.verify_table import layers_table, table
from training.cleaning.framing import crop_of
from training.config import AFFECT, CONFIG_FILE, TrainingConfig, read_config
from training.datasets.dataset import FINAL, VALIDATION, Dataset, clean_training
from training.datasets.pixels import in_memory_or_on_disk
from training.distill import read_soft_labels
from training.run_data import read_run_data


def make(options: argparse.Namespace) -> None:
    config = read_config(options.run / CONFIG_FILE)
    rows = read_rows(options.calibration) if options.command != "float" and options.calibration else None

    if options.command != "float" and config.network == "bit_m_r50x1":
        raise EmotionEdgeError(
            "network bit_m_r50x1: its group normalization is not supported in int8; train `resnet50`, the same network "
            "with batch normalization, or keep it in float with `emotion-quantize float`"
        )
    # Before the long work: the settings of an earlier run may be wrong.
    commands = commands_of_file(options, config)
    source = read_source(options.run)
    found = _read_data(options, source)
    data, crop = _sized(found, source), crop_of(found, source.input_shape[2])
    float_file = to_float(source.network)
    calibration: Calibration | None = None
    if options.command == "float":
        precision = str(options.precision)
        content = float_file if precision == "float32" else to_float(source.network, options.precision)
    else:
        precision = "int8"
        calibration = calibration_set(data, options.samples) if rows is None else pinned_calibration_set(data, rows)
        make_int8 = _aware if options.command == "qat" else _after_training
        content = make_int8(options, twin_of(source, config), data, calibration, config)
    with arriving(options.out) as folder:
        path = write_file(content, folder, source.heads, source.input_shape, precision == "int8")
        measured = measure(
            path, source, data, _splits(options), config.primary, float_file, precision, options.arm, options.mirror
        )
        if precision == "int8":
            for head, same in measured.shipped.agreement.items():
                check_agreement(head, same, options.force)
        write_cards(
            folder,
            options.model_version,
            commands,
            measured,
            data,
            source.heads,
            source.input_shape,
            calibration or {},
            config,
            crop,
            options.fairface,
        )
        print(table(sized(measured, path)))
    print(f"wrote {options.out / MODEL_FILE}")


def verify(options: argparse.Namespace) -> None:
    card = read_card(EmotionCard, options.model)

    source = read_source(options.run or options.model)
    data = _sized(_read_data(options, source), source)
    float_file = to_float(source.network)
    path = options.model / MODEL_FILE
    primary, precision = card.primary.name, precision_of(card)
    splits = _splits(options)
    print(table(measure(path, source, data, splits, primary, float_file, precision, options.arm, card.mirror)))
    if options.layers:
        images = calibration_set(data, 200).images
        print()
        print(layers_table(layer_errors(path.read_bytes(), float_file, source.network, images)))


def write_card_again(options: argparse.Namespace) -> None:

    card = read_card(ReleasedCard, options.model)
    before = json.loads((options.model / CARD_FILE).read_text(encoding="utf-8"))
    config = read_config(options.run / CONFIG_FILE)
    source = read_source(options.run)
    found = _read_data(options, source)
    data, crop = _sized(found, source), crop_of(found, source.input_shape[2])
    float_file = to_float(source.network)
    with arriving(options.model) as folder:
        path = folder / MODEL_FILE
        shutil.copyfile(options.model / MODEL_FILE, path)
        primary, precision, splits = card.primary.name, precision_of(card), _splits(options)
        mirror = card.mirror or options.mirror
        measured = measure(path, source, data, splits, primary, float_file, precision, options.arm, mirror)
        write_cards(
            folder,
            card.version,
            command_of(card, options.final, mirror),
            measured,
            data,
            source.heads,
            source.input_shape,
            card.calibration,
            config,
            crop,
            options.fairface,
        )
        # With mirror images in place of none, the file publishes other probabilities.
        kept = keep_figures(before, folder) if mirror == card.mirror else []
        print(table(sized(measured, path)))
    print(f"wrote {options.model / CARD_FILE}" + (f"; kept from before: {', '.join(kept)}" if kept else ""))


def _aware(
    options: argparse.Namespace,
    twin: object,
    data: Dataset,
    calibration: Calibration,
    config: TrainingConfig,
) -> bytes:

    taught = {}
    if options.soft_labels:
        soft_labels = read_soft_labels(options.soft_labels)
        soft_labels.check_heads(config.heads)
        # The data set is read again, as the soft labels identify faces by their original, not yet resized images.
        as_read = read_run_data([options.run], options.data)
        taught = soft_labels.of(clean_training(data).part("Training"), as_read)
    lesson = Lesson("quantization-aware", options.epochs, options.learning_rate, taught)
    return to_int8(train_aware(twin, data, calibration, config, lesson))


def _after_training(
    options: argparse.Namespace,
    twin: object,
    data: Dataset,
    calibration: Calibration,
    config: TrainingConfig,
) -> bytes:

    if options.prune is not None or options.cluster is not None:
        twin = slimmed(twin, options.prune, options.cluster, data, config, lesson_of(options.prune))
    return to_int8(twin, representative(calibration.images))


def _read_data(options: argparse.Namespace, source: Source) -> Dataset:
    """Read the data set with the run's settings, without loading the images.

    Raises EmotionEdgeError if it lacks a label set of the network whose class names only the data set gives.
    """
    data = read_run_data([source.folder], options.data)
    for head in source.heads:
        if head not in (*data.labels, *LABEL_SETS, AFFECT):
            raise EmotionEdgeError(
                f"head {head!r}: data set {data.name} has no such labels (it has {', '.join(data.labels)}); give the "
                "data that the run learned from as --data"
            )
    return data


def _sized(data: Dataset, source: Source) -> Dataset:
    """The images at the network's size; where they are too many for memory, in a file of the run's folder."""
    return in_memory_or_on_disk(data, *source.input_shape, source.folder)


def _splits(options: argparse.Namespace) -> tuple[str, ...]:
    return (VALIDATION, FINAL) if options.final else (VALIDATION,)
