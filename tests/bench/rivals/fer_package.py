"""The package `fer`: Haar cascades and a mini-Xception in TensorFlow Lite or Keras."""

import sys

import numpy as np
from fer.fer import FER
from protocol import FER7, serve

detector = FER()


def analyse(image):
    """The faces of a BGR picture: how many."""
    return len(detector.detect_emotions(image))


def classify(face):
    """The label of a grey face [48, 48]."""
    picture = np.repeat(face[..., None], 3, axis=2)
    # It widens what a detector gave it by 10 pixels a side: so it sees the whole picture and nothing else.
    found = detector.detect_emotions(picture, face_rectangles=[(10, 10, 28, 28)])
    scores = found[0]["emotions"]
    return FER7.index(max(FER7, key=lambda name: scores[name]))


serve(analyse, classify, sys.argv)
