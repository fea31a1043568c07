"""What is drawn over a frame: boxes, labels, text, blurred faces, and the JPEG of it."""
