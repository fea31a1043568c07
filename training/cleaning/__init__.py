"""What is left out of a data set, and how faces are cut: the parts of `training.prepare`."""
