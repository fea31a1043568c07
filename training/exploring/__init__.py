"""Parts of `training.explore`: statistics and plots of a data set."""
