"""Keras without what TensorFlow prints at its start about GPUs that are not there."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NVIDIA: Final = Path("/proc/driver/nvidia")
"""There while the driver of an NVIDIA GPU is loaded."""
_STARTUP: Final = re.compile(
    rb"All log messages before absl::InitializeLog|oneDNN custom operations are on|Could not find cuda drivers"
    rb"|cpu_feature_guard|To enable the following instructions|Unable to register cu\w+ (factory|plugin)"
)


def load_keras() -> None:
    """Import Keras with its backend; lines of its start that say nothing to a user are dropped from standard error.

    Without an NVIDIA GPU, TensorFlow's own errors are dropped from then on, too: its first is that there is none, and
    what matters is raised.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if NVIDIA.exists() else "3")
    if "keras" not in sys.modules:
        with _filtered():
            import keras  # noqa: F401


@contextmanager
def _filtered() -> Iterator[None]:
    """Standard error, the process's own descriptor, without the lines of _STARTUP."""
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
                if not _STARTUP.search(line):
                    os.write(2, line)
