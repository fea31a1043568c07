"""Data sets, read into one shape: `Dataset`."""
