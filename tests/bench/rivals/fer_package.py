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
    found = detector.detect_emotions(picture, face_rectangles=[(0, 0, 48, 48)])
    scores = found[0]["emotions"]
    return FER7.index(max(FER7, key=lambda name: scores[name]))


serve(analyse, classify, sys.argv)
