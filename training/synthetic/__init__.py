"""Frames composed of known faces, to measure detectors and the crop on, and the bundled clip."""
