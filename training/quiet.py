"""Imports Keras without TensorFlow's start-up messages about missing GPUs."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NVIDIA: Final = Path("/proc/driver/nvidia")
"""Folder that exists while an NVIDIA driver is loaded."""
_STARTUP: Final = re.compile(
    rb"All log messages before absl::InitializeLog|oneDNN custom operations are on|Could not find cuda drivers"
    rb"|cpu_feature_guard|To enable the following instructions|Unable to register cu\w+ (factory|plugin)"
)


def load_keras() -> None:
    """Import Keras with its backend, dropping start-up lines of no use to a user from standard error.

    Without an NVIDIA GPU, TensorFlow's error log is silenced too: it complains about the missing GPU, and real errors
    are raised as exceptions.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if NVIDIA.exists() else "3")
    if "keras" not in sys.modules:
        with stderr_without(_STARTUP):
            import keras  # noqa: F401


@contextmanager
def stderr_without(lines: re.Pattern[bytes]) -> Iterator[None]:
    """Context manager that drops matching lines of C++ libraries from standard error; the others appear at its end."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            for line in file:
                if not lines.search(line):
                    os.write(2, line)
