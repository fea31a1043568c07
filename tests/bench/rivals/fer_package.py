"""The package `fer`: Haar cascades and a mini-Xception in TensorFlow Lite or Keras."""

import sys

import numpy as np
from fer.fer import FER
from protocol import FER7, serve

detector = FER()


def analyse(image):
    """Analyse a BGR picture; returns the number of faces."""
    return len(detector.detect_emotions(image))


def classify(face):
    """Classify a grey face [48, 48]; returns its label."""
    picture = np.repeat(face[..., None], 3, axis=2)
    # The package widens a given box by 10 pixels on each side; this box then covers exactly the whole picture.
    found = detector.detect_emotions(picture, face_rectangles=[(10, 10, 28, 28)])
    scores = found[0]["emotions"]
    return FER7.index(max(FER7, key=lambda name: scores[name]))


serve(analyse, classify, sys.argv)
