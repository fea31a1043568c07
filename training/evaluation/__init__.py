"""Evaluation of networks and committees on data sets."""
