"""Training of float networks from data sets, on a workstation."""
