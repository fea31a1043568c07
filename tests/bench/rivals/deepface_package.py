"""The package `deepface`, with OpenCV's detector, its default; its weights come from the net when it first runs."""

import sys

import numpy as np
from deepface import DeepFace
from protocol import FER7, serve

DeepFace.build_model(task="facial_attribute", model_name="Emotion")


def analyse(image):
    """The faces of a BGR picture: how many."""
    return sum(
        face["face_confidence"] > 0
        for face in DeepFace.analyze(image, actions=["emotion"], enforce_detection=False, silent=True)
    )


def classify(face):
    """The label of a grey face [48, 48]."""
    picture = np.repeat(face[..., None], 3, axis=2)
    found = DeepFace.analyze(picture, actions=["emotion"], detector_backend="skip", silent=True)
    return FER7.index(found[0]["dominant_emotion"])


serve(analyse, classify, sys.argv)
