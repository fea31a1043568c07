"""Percentiles, as NumPy computes them, whose own function imports `numpy.ma` (2 MB) from NumPy 2 on."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def percentiles(values: npt.ArrayLike, at: Sequence[float]) -> list[float]:
    """Return the percentiles `at`, 0 to 100, of at least one value, interpolated linearly."""
    ordered = np.sort(np.asarray(values, np.float64), axis=None)
    places = np.asarray(at) / 100 * (len(ordered) - 1)
    return [float(value) for value in np.interp(places, np.arange(len(ordered)), ordered)]
