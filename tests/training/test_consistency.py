"""Consistency regularisation: targets are the same for a face and its mirror image, and their weights."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import EmotionEdgeError
from training.config import Consistency, read_config

keras = pytest.importorskip("keras", reason="the training extra is not installed")

from training.consistency import consistent_batches  # noqa: E402


@pytest.fixture(scope="module")
def network() -> object:
    """Build an asymmetric network, whose outputs differ for mirror images, with the heads fer7 and affect."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(pixels)
    heads = {"fer7": keras.layers.Dense(7)(flat), "affect": keras.layers.Dense(2)(flat)}
    return keras.Model(pixels, heads)


def mixed(network: object, part: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Targets of fer7, [4, 8], of: a labelled face, its mirror image, the face without a label, and without weight."""
    face = np.random.default_rng(0).integers(0, 256, (8, 8, 1)).astype(np.uint8)
    images = np.stack([face, face[:, ::-1], face, face])
    fer7 = np.zeros((4, 8), np.float32)
    fer7[:, -1] = (1.0, 1.0, 0.5, 0.0)
    fer7[:2, 3] = 1.0
    affect = np.ones((4, 3), np.float32)
    [(kept, wanted)] = consistent_batches(iter([(images, {"fer7": fer7, "affect": affect})]), network, part)
    np.testing.assert_array_equal(kept, images)
    np.testing.assert_array_equal(wanted["affect"], affect)
    np.testing.assert_array_equal(wanted["fer7"][:, -1], fer7[:, -1])
    return wanted["fer7"][:, :-1], fer7[:, :-1]


def test_a_face_and_its_mirror_image_have_the_same_target(network: object) -> None:
    targets, labels = mixed(network, 0.5)
    np.testing.assert_allclose(targets[0], targets[1], atol=1e-6)
    # The network's probabilities are half of the target of a labelled face, and the whole of one without a label.
    np.testing.assert_allclose(targets[0] - 0.5 * labels[0], targets[2], atol=1e-6)
    assert targets[0].sum() == pytest.approx(1.0, abs=1e-5)
    assert targets[2].sum() == pytest.approx(0.5, abs=1e-5)
    assert targets[2].max() < 0.5


def test_the_weight_rises_over_the_ramp() -> None:
    assert [Consistency(weight=0.6, ramp_epochs=2).weight_in(epoch) for epoch in range(4)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.6]
    )
    assert Consistency(weight=0.6, ramp_epochs=0).weight_in(0) == 0.6


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("unlabelled: {path: faces}", "needs `soft_labels`, or `consistency`"),
        ("unlabelled: {path: faces, confidence: 0.5}\nconsistency: {}", "need `soft_labels`"),
        ("consistency: {wieght: 0.5}", "did you mean 'weight'"),
        ("consistency: {weight: 0}", "greater than 0"),
    ],
)
def test_settings_that_teach_nothing_are_refused(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"name: run\nepochs: 1\n{lines}\n")
    with pytest.raises(EmotionEdgeError, match=message):
        read_config(path)
