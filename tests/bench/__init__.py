"""Benchmarks of this project, also beside alternatives that a user could choose."""
