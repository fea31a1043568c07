"""A float emotion network behind a third-party detector, as users combine them by hand.

Environment variables: EMOTION_MODEL is a float TensorFlow Lite file of `emotion-quantize float`; DETECTOR is `opencv`
(YUNET: its ONNX file) or `mediapipe`.
"""

import os
import sys

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from protocol import serve

network = Interpreter(model_path=os.environ["EMOTION_MODEL"], num_threads=1).get_signature_runner()
cv2.setNumThreads(1)

if os.environ["DETECTOR"] == "opencv":
    yunet = cv2.FaceDetectorYN.create(os.environ["YUNET"], "", (320, 240), 0.6)

    def boxes(image):
        """Detect the faces of a BGR picture; returns boxes of x, y, width, height."""
        scale = 320 / image.shape[1]
        small = cv2.resize(image, None, fx=scale, fy=scale)
        yunet.setInputSize((small.shape[1], small.shape[0]))
        _, rows = yunet.detect(small)
        return [] if rows is None else [row[:4] / scale for row in rows]

else:
    import mediapipe

    blazeface = mediapipe.solutions.face_detection.FaceDetection(model_selection=0, min_detection_confidence=0.5)

    def boxes(image):
        """Detect the faces of a BGR picture; returns boxes of x, y, width, height."""
        height, width = image.shape[:2]
        found = blazeface.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)).detections or []
        relative = [it.location_data.relative_bounding_box for it in found]
        return [np.array([it.xmin * width, it.ymin * height, it.width * width, it.height * height]) for it in relative]


def scores(face):
    """Run the emotion network on a grey face; returns the logits of fer7."""
    pixels = cv2.resize(face, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return network(image=pixels[None, ..., None])["fer7"][0]


def analyse(image):
    """Analyse a BGR picture; returns the number of faces."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    found = boxes(image)
    for x, y, width, height in found:
        top, left = max(0, int(y)), max(0, int(x))
        scores(grey[top : max(top + 1, int(y + height)), left : max(left + 1, int(x + width))])
    return len(found)


serve(analyse, lambda face: scores(face).argmax(), sys.argv)
