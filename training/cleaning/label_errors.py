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
from training.evaluation.metrics import confusion, recall, softmax

if TYPE_CHECKING:
    from training.evaluation.members import Member

FOLDS: Final = 5
COMPONENTS: Final = 150
LEAST_AGREEMENT: Final = 0.75
"""Least agreement of the judging network with the labels (mean over the classes) for faces to be left out by its
judgement: one that disputes more than a quarter of the labels is mostly wrong itself.
"""
MOST_DROPPED: Final = 0.1
"""Largest share of Training that may be left out for wrong labels; above it, labels and judge need a closer look."""

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Result of looking for wrong labels.

    issues: likely wrong labels, the most likely first. judged: which faces were checked, bool [n]. agreement: share of
    the checked faces for which the judge predicts the label, mean over the classes, 0 to 1; None if no face was
    checked. judge: name of the classifier that checked.
    """

    issues: "tuple[LabelIssue, ...]"
    judged: npt.NDArray[np.bool_]
    agreement: float | None
    judge: str

    def check_drop(self, dropped: int, training: int) -> None:
        """Raise EmotionEdgeError if leaving out `dropped` of the `training` faces in Training cannot be justified.

        That is so if the judge agrees with too few labels (LEAST_AGREEMENT), or the share is above MOST_DROPPED.
        """
        if not dropped or self.agreement is None:
            return
        hint = "look at label_issues.txt without --drop-label-issues, or name a better network as --judge"
        if self.agreement < LEAST_AGREEMENT:
            raise EmotionEdgeError(
                f"--drop-label-issues: the judge ({self.judge}) agrees with only {self.agreement:.0%} of the labels "
                f"(mean over the classes; {LEAST_AGREEMENT:.0%} at least), so what it calls wrong mostly is not; {hint}"
            )
        if dropped > MOST_DROPPED * training:
            raise EmotionEdgeError(
                f"--drop-label-issues: would leave out {dropped:,} of {training:,} faces of Training "
                f"({dropped / training:.0%}; {MOST_DROPPED:.0%} at most), by a judge ({self.judge}) that agrees with "
                f"{self.agreement:.0%} of the labels; {hint}"
            )


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
    """Class probabilities from a trained network under the data set's primary label set, [n, classes].

    Args:
        judge: Folder of a run or a released model; for a released committee the mean of its members is used. It must
            not have been trained on these faces.
        thumbnails: Grey uint8 [n, h, w], resized to the input of the network.
        data: The data set with the labels.

    Raises:
        EmotionEdgeError: The folder holds no network, or no head of the network covers every class.
    """
    # Imported only when needed, as it loads Keras.
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
    """Find the labels that are likely wrong, the most likely first.

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
) -> Judgement:
    """Find likely wrong labels in the primary label set of a data set.

    Faces without a label, and those of a class with fewer than FOLDS faces, are not checked; nor is any face if fewer
    than two classes remain.

    Args:
        thumbnails: Grey uint8 [n, 48, 48] of the faces `rows`.
        rows: Indexes into the data set, int64 [n].
        data: The data set.
        judge: Folder of a trained network; None: a simple classifier fitted to these faces (`cross_validated`).
        seed: Seed of the cross-validation.
    """
    judged = np.zeros(len(data), np.bool_)
    name = str(judge) if judge else "a simple classifier, fitted to these faces in cross-validation"
    nothing = Judgement((), judged, None, name)
    if not data.labels:
        return nothing
    labels = next(iter(data.labels.values())).judged[rows]
    classes, counts = np.unique(labels[labels >= 0], return_counts=True)
    classes = classes[counts >= FOLDS]
    among = np.flatnonzero(np.isin(labels, classes))
    if len(classes) < 2:
        return nothing
    judged[rows[among]] = True
    given = np.searchsorted(classes, labels[among])
    if judge is None:
        probabilities = cross_validated(thumbnails[among], given, seed)
    else:
        probabilities = probabilities_by(judge, thumbnails[among], data)[:, classes] + 1e-9
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    issues = tuple(
        replace(it, index=int(rows[among[it.index]]), suggested=int(classes[it.suggested]))
        for it in label_issues(given, probabilities)
    )
    matrix = confusion(np.asarray(probabilities.argmax(axis=1), np.int64), given, len(classes))
    return Judgement(issues, judged, float(recall(matrix).mean()), name)
