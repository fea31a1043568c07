"""What came of it, in words, tables and plots: the parts of `training.report`."""
