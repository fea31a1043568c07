"""The bundled clip that replaces a missing camera; SOURCES.md beside it lists the sources of its pictures."""

from pathlib import Path
from typing import Final

CLIP: Final = Path(__file__).parent / "clip.mp4"
"""The bundled clip: 640x480, 20 frames a second, 16 s; begins and ends with the same picture, so that it loops."""
