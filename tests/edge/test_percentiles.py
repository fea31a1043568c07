"""Percentiles are those of NumPy's own function."""

import numpy as np
import pytest

from edge.system.percentiles import percentiles


@pytest.mark.parametrize("shape", [(1,), (2,), (300,), (7, 9)])
def test_percentiles_are_numpys(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(sum(shape))
    for values in (random.normal(size=shape), random.integers(0, 256, shape).astype(np.uint8)):
        assert percentiles(values, (0, 50, 95, 99, 100)) == pytest.approx(np.percentile(values, (0, 50, 95, 99, 100)))
