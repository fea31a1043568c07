"""The package `deepface` with its default detector, OpenCV's; it downloads its weights in the first run."""

import sys

import numpy as np
from deepface import DeepFace
from protocol import FER7, serve

DeepFace.build_model(task="facial_attribute", model_name="Emotion")


def analyse(image):
    """Analyse a BGR picture; returns the number of faces."""
    return sum(
        face["face_confidence"] > 0
        for face in DeepFace.analyze(image, actions=["emotion"], enforce_detection=False, silent=True)
    )


def classify(face):
    """Classify a grey face [48, 48]; returns its label."""
    picture = np.repeat(face[..., None], 3, axis=2)
    found = DeepFace.analyze(picture, actions=["emotion"], detector_backend="skip", silent=True)
    return FER7.index(found[0]["dominant_emotion"])


serve(analyse, classify, sys.argv)
