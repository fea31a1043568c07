"""What is in a data set: the parts of `training.explore`."""
