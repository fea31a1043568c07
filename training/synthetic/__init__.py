"""Composed frames with known faces, which measure detectors and the crop, and the bundled clip and font."""
