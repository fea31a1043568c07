"""What the daemon imports, and what it leaves until it is needed."""

import subprocess
import sys

SCRIPT = """
import sys
from edge.system.late_imports import import_late
import_late()
import numpy
late = ("ctypeslib", "fft", "ma", "polynomial", "random")
print([part for part in late if any(name.startswith(f"numpy.{part}.") for name in sys.modules)])
numpy.random.seed(1)
print(numpy.random.default_rng(1).integers(10, size=3).shape, numpy.ma.masked_array([1, 2], [0, 1]).sum())
print(numpy.allclose(numpy.fft.ifft(numpy.fft.fft([1, 2])), [1, 2]), numpy.polynomial.Polynomial([1, 2])(3))
import numpy.random
print("numpy.random.mtrand" in sys.modules)
"""


def test_parts_of_numpy_are_imported_when_they_are_read() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["[]", "(3,) 1", "True 7.0", "True"]
