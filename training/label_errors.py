"""Labels that are likely wrong, by confident learning (Northcutt et al. 2021, the library cleanlab)."""

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

FOLDS: Final = 5
COMPONENTS: Final = 150

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelIssue:
    """A label that is likely wrong. index: of the face. suggested: the class that the judge takes it for. given, other:
    its probability of the label it has, and of the suggested one."""

    index: int
    suggested: int
    given: float
    other: float


def cross_validated(thumbnails: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], seed: int) -> Probabilities:
    """What a plain classifier, that has not seen the face, says of each: [n, classes], classes in sorted order.

    thumbnails: grey uint8 [n, 48, 48]. labels: int64 [n], each class at least FOLDS times. The classifier is a logistic
    regression on the principal components of histograms of oriented gradients (Dalal and Triggs 2005), in five-fold
    cross-validation: seconds for 36,000 faces.
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


def label_issues(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> list[LabelIssue]:
    """The labels that are likely wrong, the likeliest first.

    labels: int64 [n], 0 to classes - 1, every class there. probabilities: [n, classes], out of sample.
    """
    from cleanlab.filter import find_label_issues

    found = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    suggested = probabilities.argmax(axis=1)
    return [
        LabelIssue(int(i), int(suggested[i]), float(probabilities[i, labels[i]]), float(probabilities[i].max()))
        for i in found
    ]


def find(
    thumbnails: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], seed: int
) -> tuple[list[LabelIssue], npt.NDArray[np.bool_]]:
    """The likely wrong labels of faces, the likeliest first, and which faces were judged, bool [n].

    Arguments as of `cross_validated`, but labels may be -1 for none. Not judged are faces without a label and those of
    a class with fewer than FOLDS faces; none is where that leaves fewer than two classes.
    """
    classes, counts = np.unique(labels[labels >= 0], return_counts=True)
    classes = classes[counts >= FOLDS]
    judged = np.isin(labels, classes) & (len(classes) > 1)
    rows = np.flatnonzero(judged)
    if not len(rows):
        return [], judged
    given = np.searchsorted(classes, labels[rows])
    issues = label_issues(given, cross_validated(thumbnails[rows], given, seed))
    named = [replace(it, index=int(rows[it.index]), suggested=int(classes[it.suggested])) for it in issues]
    return named, judged


def moved(issue: LabelIssue, rows: npt.NDArray[np.int64]) -> LabelIssue:
    """The issue with its face's index among others: rows[index]."""
    return replace(issue, index=int(rows[issue.index]))
