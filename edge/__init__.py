"""Emotion Edge: the daemon that runs on the board, and the same analysis as a library for Python programs.

    from edge import Analyser
    reading = Analyser(model="emotion-small").read(image)

The names in `__all__` are the public interface; docs/python.md describes it. Everything else may change.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edge.api.analyser import Analyser, draw
    from edge.config import Settings
    from edge.errors import EmotionEdgeError
    from edge.reading import Box, Detection, Face, Reading

    __version__: str

__all__ = ["Analyser", "Box", "Detection", "EmotionEdgeError", "Face", "Reading", "Settings", "__version__", "draw"]

_MODULES: Final = {
    "Analyser": "edge.api.analyser",
    "Box": "edge.reading",
    "Detection": "edge.reading",
    "EmotionEdgeError": "edge.errors",
    "Face": "edge.reading",
    "Reading": "edge.reading",
    "Settings": "edge.config",
    "draw": "edge.api.analyser",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that a command that analyses no image does not load OpenCV."""
    if name == "__version__":
        # Imported here, because `edge.system.late_imports` has to come before.
        from importlib.metadata import version

        return version("emotion-edge")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
