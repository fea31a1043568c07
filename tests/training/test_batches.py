"""Contents of batches (balanced classes, cutmix), and frozen layers."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="the training extra is not installed")

from tests.support.fer2013_files import TINY, write_files
from tests.support.networks import NARROW, narrow
from training.batches import Batches, balanced
from training.config import TrainingConfig
from training.datasets import read_dataset
from training.evaluation.figures import load_network
from training.fit import fit, freeze
from training.history import read_history
from training.networks import NETWORKS
from training.objectives import sampled_by

CLASSES = np.repeat([0, 1, 2, -1], [70, 20, 3, 7])


def test_balanced_epochs_have_as_many_of_each_class() -> None:
    order = balanced(CLASSES, np.random.default_rng(0))
    counts = np.bincount(CLASSES[order] + 1)
    assert counts.tolist() == [7, 31, 31, 31]
    times = np.bincount(order, minlength=100)
    assert times[90:93].tolist() in ([10, 10, 11], [10, 11, 10], [11, 10, 10]), "each of a rare class about as often"
    assert times[:70].max() == 1
    assert set(times[70:90]) == {1, 2}


def test_a_balanced_run_goes_on_as_one_that_was_not_stopped() -> None:
    """The order depends on seed and epoch alone, and differs from epoch to epoch."""
    targets = {"one": np.eye(4, dtype=np.float32)[CLASSES]}
    images = np.arange(100, dtype=np.uint8).reshape(-1, 1, 1, 1)
    batches = Batches(images, targets, 10, seed=3, classes=CLASSES)
    first, again, second = ([pixels.ravel().tolist() for pixels, _ in batches.epoch(n)] for n in (0, 0, 1))
    assert len(first) == batches.steps == 10
    assert first == again != second


def test_rows_without_a_label_belong_to_no_class() -> None:
    wanted = np.array([[0.1, 0.9, 1.0], [0.0, 0.0, 1.0], [0.7, 0.3, 0.0]], np.float32)
    assert sampled_by(wanted).tolist() == [1, -1, -1]


def test_cutmix_pastes_rectangles_and_shares_labels_by_their_area() -> None:
    count = 64
    images = np.repeat(np.arange(count, dtype=np.uint8), 12 * 8).reshape(count, 12, 8, 1)
    own = np.concatenate([np.eye(count, dtype=np.float32), np.ones((count, 1), np.float32)], axis=1)
    (pixels, wanted), *_ = Batches(images, {"each": own}, count, 0, cutmix=1.0).epoch(0)
    parts = []
    for image, target in zip(pixels[:, :, :, 0], wanted["each"], strict=True):
        values, counts = np.unique(image, return_counts=True)
        assert len(values) <= 2
        share = counts / image.size
        np.testing.assert_allclose(target[values], share, atol=1e-6)
        assert target[-1] == 1
        if len(values) == 2:
            for value in values:
                inside = np.argwhere(image == value)
                (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0) + 1
                parts.append(len(inside) == (bottom - top) * (right - left))
    assert len(parts) > 2 * 30
    assert sum(parts) >= len(parts) / 2, "of two parts one is a rectangle"


def test_with_mixup_too_each_batch_has_one_of_both() -> None:
    images = np.zeros((400, 4, 4, 1), np.uint8)
    images[::2] = 200
    targets = {"one": np.ones((400, 2), np.float32)}
    batches = [pixels for pixels, _ in Batches(images, targets, 20, 0, mixup=1.0, cutmix=1.0).epoch(0)]
    cut = [set(np.unique(pixels)) <= {0, 200} for pixels in batches]
    assert 4 <= sum(cut) <= 16


@pytest.mark.parametrize("name", NARROW)
def test_every_network_can_be_frozen_up_to_its_heads(name: str) -> None:
    network = narrow(name)
    freeze(network, 1.0, ("ferplus8", "fer7", "affect"))
    heads = [v for layer in network.layers if layer.name in ("ferplus8", "fer7", "affect") for v in layer.weights]
    assert [id(v) for v in network.trainable_weights] == [id(v) for v in heads]
    assert set(NARROW) == set(NETWORKS)


def test_a_run_in_float16_with_half_of_it_frozen_and_balanced_classes(tmp_path: Path) -> None:
    """Frozen layers keep their initial weights, and a resumed run keeps its loss scale."""
    data = read_dataset(write_files(tmp_path / "data"))
    settings = {
        **TINY, "heads": {"fer7": 1.0}, "epochs": 2, "frozen": 0.5, "sampling": "balanced", "cutmix": 1.0,
        "precision": "mixed_float16",
    }  # fmt: skip
    fit(TrainingConfig.model_validate(settings), data, tmp_path / "half")
    rows = read_history(tmp_path / "half")
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    network = load_network(tmp_path / "half")
    kernels = [layer.get_weights()[0] for layer in network.layers if layer.weights]
    fit(TrainingConfig.model_validate({**settings, "epochs": 3}), data, tmp_path / "half")
    longer = load_network(tmp_path / "half")
    after = [layer.get_weights()[0] for layer in longer.layers if layer.weights]
    same = [np.array_equal(one, two) for one, two in zip(kernels, after, strict=True)]
    assert same[: len(same) // 2] == [True] * (len(same) // 2)
    assert len(read_history(tmp_path / "half")) == 3
