"""This project's own pipeline, with its default settings, in the environment of a board.

The environment variable DETECT, if set, is the setting `detector.every`.
"""

import os
import sys
from dataclasses import replace

import cv2
from protocol import serve

from edge.config import Settings
from edge.models.card import EmotionCard, read_card
from edge.models.released import model_dir
from edge.models.runtime import Network, choose
from edge.pipeline import open_pipeline
from edge.reading import Frame

FPS = 30
settings = Settings(**({"detector": {"every": os.environ["DETECT"]}} if "DETECT" in os.environ else {}))
runtime = choose()
folder = model_dir(settings.emotion.model)
pipeline = open_pipeline(settings, runtime)
network = Network(folder / "model.tflite", runtime)
stored = read_card(EmotionCard, folder).input.lookup()
cv2.setNumThreads(1)
frame = Frame(cv2.UMat(1, 1, cv2.CV_8U).get(), 0.0, 0.0, 0)


def analyse(image):
    """Analyse a BGR picture as the next frame of a camera with 30 a second; returns the number of faces."""
    global frame
    number = frame.sequence + 1
    frame = replace(frame, image=image, captured_at=number / FPS, wall_time=number / FPS, sequence=number)
    return len(pipeline.analyse(frame).faces)


def classify(face):
    """Classify a grey face [48, 48]; returns its label."""
    return network(stored[face][None, ..., None])["fer7"][0].argmax()


serve(analyse, classify, sys.argv)
