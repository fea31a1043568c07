"""Targets, weights and losses of training, compared with values computed by hand."""

import numpy as np
import pytest

from training.config import TrainingConfig
from training.datasets.dataset import Dataset, Labels, one_hot

pytest.importorskip("keras", reason="the training extra is not installed")

import keras
from keras import ops

from training.batches import Batches
from training.objectives import ConcordanceLoss, SoftLoss, build_losses, class_weights, losses, targets

NAMES = ("happy", "sad")


def config(**changes: object) -> TrainingConfig:
    return TrainingConfig.model_validate({"name": "x", "epochs": 1, "heads": {"two": 1.0, "affect": 0.5}, **changes})


def faces(labels: Labels, affect: list[list[float]]) -> Dataset:
    count = len(labels.judged)
    return Dataset(
        "x", np.zeros((count, 4, 4), np.uint8), {"two": labels}, np.array(affect, np.float32), True,
        np.zeros(count, np.int64), np.arange(count),
    )  # fmt: skip


def test_one_label_is_smoothed_and_votes_are_not() -> None:
    affect = [[0.5, -0.5], [np.nan, np.nan]]
    hard = targets(config(label_smoothing=0.2), faces(one_hot(NAMES, np.array([1, -1])), affect), {})
    np.testing.assert_allclose(hard["two"], np.array([[0.1, 0.9, 1], [0, 0, 0]]), atol=1e-6)
    np.testing.assert_allclose(hard["affect"], np.array([[0.5, -0.5, 1], [0, 0, 0]]))
    votes = Labels(NAMES, np.array([[0.3, 0.7], [1, 0]], np.float32), np.array([1, 0]))
    soft = targets(config(label_smoothing=0.2), faces(votes, affect), {})
    np.testing.assert_allclose(soft["two"], np.array([[0.3, 0.7, 1], [1, 0, 1]]), atol=1e-6)


def test_a_teacher_speaks_where_the_data_say_nothing() -> None:
    teacher = {"soft_labels": "soft.npz", "weight": 0.5}
    data = faces(one_hot(NAMES, np.array([1, -1])), [[0, 0], [0, 0]])
    said = {"two": np.array([[0.6, 0.4], [0.2, 0.8]], np.float32)}
    mixed = targets(config(label_smoothing=0, teacher=teacher), data, said)
    np.testing.assert_allclose(mixed["two"], np.array([[0.3, 0.7, 1], [0.2, 0.8, 1]]), atol=1e-6)


@pytest.mark.parametrize(("balance", "ratio"), [("none", 1.0), ("inverse", 3.0), ("effective", 2.997)])
def test_rare_classes_weigh_more(balance: str, ratio: float) -> None:
    weights = class_weights(one_hot(NAMES, np.array([0, 0, 0, 1, -1])), balance)
    assert weights[3] / weights[0] == pytest.approx(ratio, rel=1e-3)
    assert weights[:4].mean() == pytest.approx(1, rel=1e-5)


def test_where_no_face_says_anything_the_weights_are_numbers() -> None:
    assert class_weights(one_hot(NAMES, np.array([-1, -1])), "inverse").tolist() == [1.0, 1.0]


def test_cross_entropy_counts_rows_by_their_weight_and_focal_loss_the_sure_ones_less() -> None:
    logits = np.log(np.array([[0.25, 0.75], [0.9, 0.1]], np.float32))
    wanted = np.array([[0, 1, 1], [1, 0, 0]], np.float32)
    plain = float(ops.convert_to_numpy(SoftLoss()(wanted, logits)))
    assert plain == pytest.approx(-np.log(0.75) / 2, rel=1e-5)
    focal = float(ops.convert_to_numpy(SoftLoss(gamma=2)(wanted, logits)))
    assert focal == pytest.approx(-(0.25**2) * np.log(0.75) / 2, rel=1e-5)


def test_concordance_is_lins_and_leaves_out_rows_without_a_measurement() -> None:
    generator = np.random.default_rng(1)
    true = generator.uniform(-1, 1, (40, 2)).astype(np.float32)
    said = (0.5 * true + 0.2 + generator.normal(0, 0.1, (40, 2))).astype(np.float32)
    covariance = [np.cov(true[:, i], said[:, i], bias=True) for i in (0, 1)]
    ccc = [
        2 * c[0, 1] / (c[0, 0] + c[1, 1] + (true[:, i].mean() - said[:, i].mean()) ** 2)
        for i, c in enumerate(covariance)
    ]
    expected = 1 - np.mean(ccc) + np.mean((true - said) ** 2)
    known = np.concatenate([true, np.ones((40, 1))], axis=1).astype(np.float32)
    loss = ConcordanceLoss()
    assert float(ops.convert_to_numpy(loss(known, said))) == pytest.approx(expected, rel=1e-4)
    unknown = np.concatenate([known, np.zeros((10, 3))]).astype(np.float32)
    more = np.concatenate([said, np.full((10, 2), 9)]).astype(np.float32)
    first = float(ops.convert_to_numpy(loss(unknown, more))) - np.mean((true - said) ** 2) * 40 / 50
    assert first == pytest.approx(1 - np.mean(ccc), rel=1e-4)


def test_a_face_laid_over_one_that_says_nothing_keeps_its_label() -> None:
    affect = [[0.5, -0.5], [np.nan, np.nan]] * 8
    data = faces(one_hot(NAMES, np.array([1, -1] * 8)), affect)
    told = targets(config(label_smoothing=0), data, {})
    images = data.pixels[..., None]
    batches = [batch for _, batch in Batches(images, told, 16, 0, mixup=1.0).epoch(0)]
    for head, own in (("two", [0, 1]), ("affect", [0.5, -0.5])):
        mixed = batches[0][head]
        weights = mixed[:, -1]
        assert ((weights > 0) & (weights < 1)).any()
        np.testing.assert_allclose(mixed[weights > 0, :-1], np.tile(own, (np.count_nonzero(weights), 1)), atol=1e-6)
        assert not mixed[weights == 0].any()


def test_the_first_step_is_traced_once() -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow traces a step that makes variables twice")
    traced: list[int] = []

    class Counted(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: object) -> object:
            traced.append(1)
            return inputs

    inputs = keras.Input((4,))
    heads = {"two": 2, "affect": 2}
    inner = Counted()(inputs)
    model = keras.Model(inputs, {name: keras.layers.Dense(size, name=name)(inner) for name, size in heads.items()})
    model.compile("adam", loss=losses(config()))
    model.optimizer.build(model.trainable_variables)
    build_losses(model, heads)
    traced.clear()
    wanted = {name: np.ones((3, size + 1), np.float32) for name, size in heads.items()}
    for _ in range(2):
        model.train_on_batch(np.zeros((3, 4), np.float32), wanted)
    assert len(traced) == 1
