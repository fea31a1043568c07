"""Parts of `training.prepare` that decide which faces to omit, and crop the others."""
