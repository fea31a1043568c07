"""Emotion Edge: the daemon that runs on the board."""

from importlib.metadata import version

__version__ = version("emotion-edge")
