"""Parts of `training.prepare`: which faces to omit, and how faces are cropped."""
