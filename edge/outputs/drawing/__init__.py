"""Draws over frames: boxes, labels, text, blurred faces; and encodes the result as JPEG."""
