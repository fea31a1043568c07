"""Finds images unlike the rest of the data set: drawings, error messages, extremely blurred or dark faces."""

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from training.evaluation.slices import sharpness

FAR: Final = 4.0
"""Modified z-score beyond which an image is an outlier.

Iglewicz and Hoaglin ("How to detect and handle outliers", 1993) propose 3.5 for normally distributed values; these have
heavier tails. In FER-2013 most images beyond 4 are text, drawings or extremely blurred.
"""
FEWEST: Final = 200
"""Fewest images in which outliers are looked for; with fewer, the usual range is not known."""
RARE: Final = 0.01
"""Largest share of images beyond FAR in a measure that are outliers; a larger group is a kind of image of its own."""
COMPONENTS: Final = 64

Measures = Mapping[str, npt.NDArray[np.float64]]


def measures(thumbnails: npt.NDArray[np.uint8], sides: npt.NDArray[np.int64]) -> Measures:
    """Compute the properties by which an image may be an outlier: float64 [n] by name.

    brightness: mean grey value. sharpness: logarithm of the variance of the Laplacian divided by the variance of the
    image. likeness to the others: distance from face space (Turk and Pentland, "Eigenfaces for recognition", 1991), the
    residual of the first 64 principal components. size: logarithm of the side. Contrast is not used: it would exclude
    dark faces in poor light, which the board sees too.

    Args:
        thumbnails: Grey uint8 [n, h, w].
        sides: Shorter side of each image in pixels, int64 [n].
    """
    from sklearn.decomposition import PCA

    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float64)
    brightness, spread = flat.mean(axis=1), flat.std(axis=1)
    small = np.stack([cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA) for image in thumbnails])
    small = (small.reshape(len(small), -1) - brightness[:, None]) / spread[:, None]
    space = PCA(min(COMPONENTS, len(small) // 2), svd_solver="randomized", random_state=0).fit(small)
    rest = small - space.inverse_transform(space.transform(small))
    return {
        "brightness": brightness,
        "sharpness": np.log([sharpness(image) + 1e-6 for image in thumbnails]),
        "likeness to the others": -np.sqrt((rest**2).mean(axis=1)),
        "size": np.log(sides),
    }


def outliers(thumbnails: npt.NDArray[np.uint8], sides: npt.NDArray[np.int64]) -> dict[int, str]:
    """Find the images beyond FAR in one of the `measures`; returns index and description of the measure.

    Large images, and images very similar to the others, are not outliers, nor is a property shared by more than RARE of
    the images. With fewer than FEWEST images, none are reported.

    Args:
        thumbnails: Grey uint8 [n, h, w].
        sides: Shorter side of each image in pixels, int64 [n].
    """
    if len(thumbnails) < FEWEST:
        return {}
    found: dict[int, str] = {}
    for name, values in measures(thumbnails, sides).items():
        score = modified_z(values)
        far = score < -FAR if name in ("size", "likeness to the others") else np.abs(score) > FAR
        for i in np.flatnonzero(far).tolist() if far.mean() <= RARE else ():
            found.setdefault(i, f"{'high' if score[i] > 0 else 'low'} {name} (modified z-score {score[i]:.1f})")
    return found


def modified_z(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Modified z-scores, 0.6745 (x - median) / median absolute deviation, [n]; zeros if more than half are equal."""
    away = values - np.median(values)
    usual = float(np.median(np.abs(away)))
    return 0.6745 * away / usual if usual > 0 else np.zeros_like(away)
