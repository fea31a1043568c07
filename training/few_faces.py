"""Trains on some dozens of photographs: fits a new head on the features of a released network.

Only the head is fitted, starting from the released network's weights of the same classes, with a Gaussian prior around
them. The strength of the prior, up to leaving the head unchanged, is selected by cross-validation, and in doubt the
stronger one is taken, so that few faces cannot make the network much worse.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize  # type: ignore[import-untyped]
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from edge.errors import EmotionEdgeError
from edge.labels import labels_of
from training.augment import augmentation
from training.backend import set_up
from training.config import AFFECT, CONFIG_FILE, NETWORK_FILE, TrainingConfig, read_config, write_config
from training.datasets.dataset import VALIDATION, Dataset
from training.datasets.pixels import in_memory
from training.datasets.splits import groups_of
from training.evaluation.figures import load_network, save_network
from training.evaluation.metrics import ENOUGH, Floats, Interval, Labels, bootstrap_rows
from training.networks import build_network
from training.networks.head_transfer import Head, start_of

SETTINGS: Final = Path(__file__).parent / "configs"
PENALTIES: Final = (np.inf, 30.0, 10.0, 3.0, 1.0)
"""Strengths of the prior, the strongest first; infinite leaves the head as it starts."""
FOLDS: Final = 5
LEAST_FACES: Final = 4
"""Fewest faces of each class that can be fitted and checked."""
_VIEWS: Final = 4
"""Number of augmented views of each face to fit on, besides the face and its mirror image."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FewFaces:
    """Result of a fit.

    Attributes:
        run: Folder of the run with the network.
        start: Head of the released network that the fit started from.
        penalty: Selected strength of the prior; infinite: the head is unchanged.
        faces: Numbers of faces used for fitting and held out for evaluation.
        released: Accuracy of the released network on the held-out faces, restricted to these classes, 0 to 1.
        fitted: Accuracy of the fitted network on the same faces.
        gain: 95% interval of the difference between the two.
    """

    run: Path
    start: str
    penalty: float
    faces: tuple[int, int]
    released: float
    fitted: float
    gain: Interval

    def text(self) -> str:
        """Summary of the outcome, with a warning if there are too few faces for an evaluation."""
        how = "left as it was" if np.isinf(self.penalty) else "fitted"
        lines = [
            f"{self.faces[0]} faces to learn from, {self.faces[1]} to judge by",
            f"head: begins with the rows of {self.start or 'nothing'}, {how}",
            f"right: {self.released:.0%} before, {self.fitted:.0%} now; difference "
            f"{100 * self.gain[0]:+.0f} to {100 * self.gain[1]:+.0f} points (95% interval)",
        ]
        if self.faces[1] < ENOUGH:
            lines.append(
                f"{self.faces[1]} faces are too few to judge a network by: the figures above may be chance. "
                "More photographs of other people make them certain"
            )
        return "\n".join(lines)


def fit_few(data: Dataset, place: Path, released: Path, run: Path) -> FewFaces:
    """Fit the head of a released network to a few faces.

    Args:
        data: The faces, with one label set; fitted on Training, evaluated on PublicTest.
        place: Where the data set is, for the settings of the run.
        released: Folder of a released model with its `network.keras`.
        run: Folder to write: the network and its settings, as `emotion-train fit` does.

    Raises:
        EmotionEdgeError: A class has fewer than LEAST_FACES faces in Training, PublicTest is empty, the model has no
            float network beside it, or the run is there already.
    """
    if run.exists():
        raise EmotionEdgeError(f"{run}: there already; remove it or take another name")
    network = load_network(released)
    base = _settings_of(released, network)
    label_set, names = next((name, labels.names) for name, labels in data.labels.items())
    cut = in_memory(data, *base.input.shape)
    training, validation = cut.part("Training"), cut.part(VALIDATION)
    known, checked = (part.take(part.labels[label_set].judged >= 0) for part in (training, validation))
    _check(known, checked, label_set, names)

    set_up("float32", base.seed)
    trained = {name: _head_of(network, name) for name in network.output}
    labels, truth = known.labels[label_set].judged, checked.labels[label_set].judged
    views, aside = _features(network, known, base), _features(network, checked, base)[:1]
    starts = {one: start_of(names, {one: head}) for one, head in trained.items() if one != AFFECT}
    starts |= {"their mean": _mean(starts)} if len(starts) > 1 else {}
    losses = {one: _loss(views[0] @ kernel + bias, labels).mean() for one, (kernel, bias) in starts.items()}
    start = min(losses, key=lambda one: float(losses[one]))
    penalty = _choose(views, labels, starts[start], known.people)
    kernel, bias = _fit(views, labels, starts[start], penalty)

    config = _settings(base, released, run.resolve().name, place, label_set, AFFECT in trained)
    sizes = {head: 2 if head == AFFECT else len(names) for head in config.heads}
    fitted = build_network(config.network, keras, config.input.shape, sizes, config.options)
    fitted.get_layer(label_set).set_weights([kernel, bias])
    run.mkdir(parents=True)
    write_config(config, run / CONFIG_FILE)
    save_network(fitted, run)

    primary = starts.get(base.primary, starts[start])
    before = (aside[0] @ primary[0] + primary[1]).argmax(axis=1) == truth
    now = (aside[0] @ kernel + bias).argmax(axis=1) == truth
    gain = bootstrap_rows(lambda one: float(one.mean()), now.astype(float) - before)
    return FewFaces(run, start, penalty, (len(known), len(checked)), float(before.mean()), float(now.mean()), gain)


def _settings_of(released: Path, network: Any) -> TrainingConfig:
    """Derive the settings of a run that builds the float network of a released model."""
    shapes = [tuple(one.shape) for one in network.weights]
    files = [SETTINGS / f"{released.name}{end}.yaml" for end in ("", "-room")]
    for file in dict.fromkeys([*files, *sorted(SETTINGS.glob(f"{released.name}-*.yaml"))]):
        if file.is_file():
            base = read_config(file)
            options = {name: value for name, value in base.options.items() if name not in ("weights", "frozen")}
            sizes = {head: 2 if head == AFFECT else len(labels_of(head)) for head in base.heads}
            built = build_network(base.network, keras, base.input.shape, sizes, options)
            if [tuple(one.shape) for one in built.weights] == shapes:
                return base.model_copy(update={"options": options})
    raise EmotionEdgeError(f"{released}: how its network is built is not known (no {released.name}*.yaml builds it)")


def _check(training: Dataset, validation: Dataset, label_set: str, names: tuple[str, ...]) -> None:
    counts = np.bincount(training.labels[label_set].judged, minlength=len(names))
    few = [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < LEAST_FACES]
    if few:
        raise EmotionEdgeError(
            f"data set {training.name}: too few faces to learn from: {', '.join(few)}; at least {LEAST_FACES} of each "
            "class are needed, and some dozens are better"
        )
    if not len(validation):
        raise EmotionEdgeError(f"data set {training.name}: no face is kept aside to judge by ({VALIDATION} is empty)")


def _settings(
    base: TrainingConfig, released: Path, name: str, place: Path, label_set: str, affect: bool
) -> TrainingConfig:
    kept = {"network", "input", "augment", "seed", "licence"}
    return TrainingConfig.model_validate(
        base.model_dump(include=kept)
        | {
            "name": name,
            "data": {"path": place},
            "options": {**base.options, "weights": str((released / NETWORK_FILE).resolve())},
            "heads": {label_set: 1.0, **({AFFECT: 0.5} if affect else {})},
            "epochs": 1,
        }
    )


def _head_of(network: Any, name: str) -> Head:
    kernel, bias = network.get_layer(name).get_weights()
    return kernel, bias


def _mean(heads: dict[str, Head]) -> Head:
    return (
        np.mean([kernel for kernel, _ in heads.values()], axis=0),
        np.mean([bias for _, bias in heads.values()], axis=0),
    )


def _features(network: Any, part: Dataset, base: TrainingConfig) -> Floats:
    """Compute the input of the heads for faces, mirror images and augmented views, float64 [views, n, features]."""
    head = network.get_layer(next(name for name in network.output if name != AFFECT))
    trunk = keras.Model(network.inputs, head.input)
    images = np.asarray(part.pixels).reshape(len(part), *base.input.shape)
    augment = augmentation(base.augment, base.seed)
    batches = [images / np.float32(255), images[:, :, ::-1] / np.float32(255)]
    batches += [np.asarray(keras.ops.convert_to_numpy(augment(images, training=True))) for _ in range(_VIEWS)]
    return np.stack([np.asarray(trunk.predict(each, batch_size=256, verbose=0), np.float64) for each in batches])


def _choose(views: Floats, labels: Labels, start: Head, people: npt.NDArray[Any] | None) -> float:
    """Select the strength of the prior by cross-validation, with no person in two folds.

    The result is the strongest that is worse than the best by at most one standard error of the difference (Breiman et
    al. 1984).
    """
    folds = min(FOLDS, int(np.bincount(labels).min()))
    groups = None
    if people is not None and len(set(people[people >= 0].tolist())) >= folds:
        groups = groups_of(people)
    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(folds, shuffle=True, random_state=0)
    losses = np.zeros((len(PENALTIES), len(labels)))
    for learn, check in splitter.split(views[0], labels, groups):
        for row, penalty in enumerate(PENALTIES):
            kernel, bias = _fit(views[:, learn], labels[learn], start, penalty)
            losses[row, check] = _loss(views[0, check] @ kernel + bias, labels[check])
    best = losses[losses.mean(axis=1).argmin()]
    worse = losses - best
    errors = worse.std(axis=1, ddof=1) / np.sqrt(len(labels))
    chosen = int(np.flatnonzero(worse.mean(axis=1) <= errors)[0])
    _log.info(
        "prior by %d-fold cross-validation: %g (loss %s)",
        folds,
        PENALTIES[chosen],
        ", ".join(f"{penalty:g}: {loss:.3f}" for penalty, loss in zip(PENALTIES, losses.mean(axis=1), strict=True)),
    )
    return PENALTIES[chosen]


def _fit(views: Floats, labels: Labels, start: Head, penalty: float) -> Head:
    """Fit the head that minimises cross-entropy plus penalty / 2 times the squared distance from the start.

    Distances are in units of each feature's standard deviation. views: [views, n, features]; labels: [n].
    """
    kernel, bias = start
    if np.isinf(penalty):
        return kernel, bias
    features, wanted = views.reshape(-1, views.shape[-1]), np.tile(labels, len(views))
    scale = features.std(axis=0) + 0.05 * features.std()
    scaled = features / scale
    base = features @ kernel + bias
    truth = np.eye(kernel.shape[1])[wanted]

    def objective(flat: Floats) -> tuple[float, Floats]:
        step = flat.reshape(-1, kernel.shape[1])
        logits = base + scaled @ step[:-1] + step[-1]
        logits -= logits.max(axis=1, keepdims=True)
        exp = np.exp(logits)
        sums = exp.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(sums[:, 0]) - logits[np.arange(len(wanted)), wanted]))
        off = (exp / sums - truth) / len(wanted)
        gradient = np.vstack([scaled.T @ off, off.sum(axis=0)]) + penalty * step
        return loss + penalty / 2 * float((step**2).sum()), gradient.ravel()

    zero = np.zeros((features.shape[1] + 1) * kernel.shape[1])
    step = minimize(objective, zero, jac=True, method="L-BFGS-B").x.reshape(-1, kernel.shape[1])
    return kernel + (step[:-1] / scale[:, None]).astype(np.float32), bias + step[-1].astype(np.float32)


def _loss(logits: Floats, labels: Labels) -> Floats:
    """Cross-entropy of each row, nats."""
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels])
