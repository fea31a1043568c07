"""Finds labels that are likely wrong, by confident learning (Northcutt et al. 2021, with the library cleanlab)."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.labels import map_matrix
from training.datasets.dataset import Dataset
from training.datasets.pixels import in_memory
from training.evaluation.metrics import softmax

if TYPE_CHECKING:
    from training.evaluation.members import Member

FOLDS: Final = 5
COMPONENTS: Final = 150

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelIssue:
    """A label that is likely wrong.

    index: index of the face. suggested: the class predicted by the judge. given, other: predicted probabilities of the
    given and of the suggested class.
    """

    index: int
    suggested: int
    given: float
    other: float


def cross_validated(thumbnails: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], seed: int) -> Probabilities:
    """Out-of-sample class probabilities from a simple classifier, [n, classes], classes in sorted order.

    The classifier is a logistic regression on the principal components of histograms of oriented gradients (Dalal and
    Triggs 2005), in five-fold cross-validation: seconds for 36,000 faces.

    Args:
        thumbnails: Grey uint8 [n, 48, 48].
        labels: int64 [n], each class at least FOLDS times.
        seed: Seed of the folds.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    side = thumbnails.shape[1]
    gradients = cv2.HOGDescriptor((side, side), (16, 16), (8, 8), (8, 8), 9)
    features = np.stack([np.asarray(gradients.compute(image)).ravel() for image in thumbnails])
    classifier = make_pipeline(
        PCA(min(COMPONENTS, len(labels) // 2), svd_solver="randomized", random_state=seed),
        StandardScaler(),
        LogisticRegression(C=0.05, max_iter=200),
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(classifier, features, labels, cv=folds, method="predict_proba"))


def probabilities_by(judge: Path, thumbnails: npt.NDArray[np.uint8], data: Dataset) -> Probabilities:
    """Class probabilities from a trained network, [n, classes] of the primary label set of the data set.

    Args:
        judge: Folder of a run or a released model; for a released committee the mean of its members is used. It must
            not have been trained on these faces.
        thumbnails: Grey uint8 [n, h, w], resized to the input of the network.
        data: The data set with the labels.

    Raises:
        EmotionEdgeError: The folder holds no network, or no head of the network covers every class.
    """
    # Loads Keras and its backend.
    from training.evaluation.members import open_members

    members = open_members([judge], data)
    return np.asarray(np.mean([_probabilities_of_one(member, judge, thumbnails, data) for member in members], axis=0))


def _probabilities_of_one(
    member: "Member", judge: Path, thumbnails: npt.NDArray[np.uint8], data: Dataset
) -> Probabilities:
    label_set, labels = next(iter(data.labels.items()))
    ways = {head: map_matrix(names, labels.names) for head, names in member.heads.items()}
    if label_set in member.heads and member.heads[label_set] == labels.names:
        ways = {label_set: np.eye(len(labels.names), dtype=np.float32)}
    head = next((head for head, way in ways.items() if way.any(axis=0).all()), None)
    if head is None:
        heads = "; ".join(", ".join(names) for names in member.heads.values())
        who = judge if member.name == judge.resolve().name else f"{judge}: its member {member.name}"
        raise EmotionEdgeError(f"{who}: knows {heads}, and so cannot judge {', '.join(labels.names)}")
    split = np.zeros(len(thumbnails), np.int64)
    height, width, channels = member.shape
    faces = in_memory(Dataset(data.name, thumbnails, {}, None, False, split, split), height, width, channels)
    probabilities = softmax(np.asarray(member.run(faces.pixels)[head], np.float64)) @ ways[head]
    return np.asarray(probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-9), np.float64)


def label_issues(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> list[LabelIssue]:
    """The labels that are likely wrong, the most likely first.

    Args:
        labels: int64 [n], 0 to classes - 1; every class occurs.
        probabilities: Out-of-sample probabilities [n, classes].
    """
    from cleanlab.filter import find_label_issues

    found = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    suggested = probabilities.argmax(axis=1)
    return [
        LabelIssue(int(i), int(suggested[i]), float(probabilities[i, labels[i]]), float(probabilities[i].max()))
        for i in found
    ]


def find(
    thumbnails: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64], data: Dataset, judge: Path | None, seed: int
) -> tuple[list[LabelIssue], npt.NDArray[np.bool_]]:
    """Find likely wrong labels in the primary label set of a data set.

    Faces without a label, and those of a class with fewer than FOLDS faces, are not checked; nor is any face if fewer
    than two classes remain.

    Args:
        thumbnails: Grey uint8 [n, 48, 48] of the faces `rows`.
        rows: Indexes into the data set, int64 [n].
        data: The data set.
        judge: Folder of a trained network; None: a classifier fitted here (`cross_validated`).
        seed: Seed of the cross-validation.

    Returns:
        The issues, the most likely first; which faces were checked, bool [len(data)].
    """
    judged = np.zeros(len(data), np.bool_)
    if not data.labels:
        return [], judged
    labels = next(iter(data.labels.values())).judged[rows]
    classes, counts = np.unique(labels[labels >= 0], return_counts=True)
    classes = classes[counts >= FOLDS]
    among = np.flatnonzero(np.isin(labels, classes))
    if len(classes) < 2:
        return [], judged
    judged[rows[among]] = True
    given = np.searchsorted(classes, labels[among])
    if judge is None:
        probabilities = cross_validated(thumbnails[among], given, seed)
    else:
        probabilities = probabilities_by(judge, thumbnails[among], data)[:, classes] + 1e-9
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    issues = label_issues(given, probabilities)
    return [
        replace(it, index=int(rows[among[it.index]]), suggested=int(classes[it.suggested])) for it in issues
    ], judged
