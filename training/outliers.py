"""Images that are far from all others of their data set: drawings, error messages, faces lost in blur or dark."""

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

FAR: Final = 5.0
"""Modified z-score beyond which an image is an outlier.

Iglewicz and Hoaglin ("How to detect and handle outliers", 1993) propose 3.5. In FER-2013 that takes many a face in poor
light, which the board sees as well; from 5 on it is nearly all drawings, print and warning signs.
"""
FEWEST: Final = 200
"""With fewer images there is no telling what is usual."""
COMPONENTS: Final = 64

Measures = Mapping[str, npt.NDArray[np.float64]]


def measures(thumbnails: npt.NDArray[np.uint8], sides: npt.NDArray[np.int64]) -> Measures:
    """What an image may be an outlier by, a figure for each, by name.

    thumbnails: grey uint8 [n, h, w]; sides: int64 [n], the shorter side of each image in pixels. brightness: mean;
    contrast: logarithm of the standard deviation; sharpness: logarithm of the variance of the Laplacian; likeness to
    the others: the distance from face space (Turk and Pentland, "Eigenfaces for recognition", 1991), what the first 64
    principal components leave of it; size: logarithm of the side.
    """
    from sklearn.decomposition import PCA

    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float64)
    brightness, spread = flat.mean(axis=1), flat.std(axis=1)
    edges = np.array([cv2.Laplacian(image, cv2.CV_32F).var() for image in thumbnails])
    small = np.stack([cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA) for image in thumbnails])
    small = (small.reshape(len(small), -1) - brightness[:, None]) / spread[:, None]
    space = PCA(min(COMPONENTS, len(small) // 2), svd_solver="randomized", random_state=0).fit(small)
    rest = small - space.inverse_transform(space.transform(small))
    return {
        "brightness": brightness,
        "contrast": np.log(spread),
        "sharpness": np.log(edges + 1e-6),
        "likeness to the others": -np.sqrt((rest**2).mean(axis=1)),
        "size": np.log(sides),
    }


def outliers(thumbnails: npt.NDArray[np.uint8], sides: npt.NDArray[np.int64]) -> dict[int, str]:
    """The images that are further out than FAR by one of their measures, each with the measure in words.

    Arguments as of `measures`. Large images and images very like the others are no outliers. None are found among fewer
    than FEWEST images.
    """
    if len(thumbnails) < FEWEST:
        return {}
    found: dict[int, str] = {}
    for name, values in measures(thumbnails, sides).items():
        score = modified_z(values)
        far = score < -FAR if name in ("size", "likeness to the others") else np.abs(score) > FAR
        for i in np.flatnonzero(far).tolist():
            found.setdefault(i, f"{'high' if score[i] > 0 else 'low'} {name} (modified z-score {score[i]:.1f})")
    return found


def modified_z(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """0.6745 (x - median) / median absolute deviation [n]; zeros where more than half of the values are one."""
    away = values - np.median(values)
    usual = float(np.median(np.abs(away)))
    return 0.6745 * away / usual if usual > 0 else np.zeros_like(away)
