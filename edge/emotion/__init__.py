"""Emotion classifiers, and the smoothing of their scores."""
