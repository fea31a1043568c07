"""The interface of all face detectors, and the function that opens the one in the settings."""

from typing import Protocol

from edge.config import DetectorSettings
from edge.faces.opencv_detectors import HaarDetector, Res10Detector, YuNetOpenCV
from edge.faces.two_sizes import TwoSizes
from edge.faces.yunet import AUTO, LARGE, SIZES, SMALL, YuNet, model_name
from edge.faces.zoom import CANDIDATE, ZoomingDetector
from edge.models.active import active_model
from edge.models.released import model_dir
from edge.models.runtime import Runtime
from edge.reading import Detection, Image


class Detector(Protocol):
    """Detects faces. Not thread-safe.

    size: width and height in pixels to which a larger image is resized for detection.
    """

    size: tuple[int, int]

    def detect(self, image: Image) -> list[Detection]:
        """Detect the faces of an image of any size, best score first.

        image: BGR uint8 [H, W, 3] or grey [H, W]. Boxes and landmarks are in its pixels.
        """
        ...


def open_detector(settings: DetectorSettings, runtime: Runtime, threads: int) -> Detector:
    """Load the detector that the settings name.

    Args:
        settings: the section `detector`.
        runtime: interpreter of `yunet`; the OpenCV detectors do not use it.
        threads: threads of `yunet`; the OpenCV detectors have OpenCV's own.

    Raises:
        EmotionEdgeError: a model file is missing or invalid; the message says how to get it.
    """
    match settings.kind:
        case "yunet":
            name = str(settings.file) if settings.file else active_model(model_name(settings.size))
            found = YuNet(model_dir(name), settings.score, runtime, threads)
            if settings.file or settings.size != AUTO:
                return found
            large = YuNet(model_dir(active_model(model_name(LARGE))), min(settings.score, CANDIDATE), runtime, threads)
            return TwoSizes(found, ZoomingDetector(large, found, settings.score))
        case "opencv-yunet":
            return YuNetOpenCV(
                settings.file, SIZES[SMALL if settings.size == AUTO else int(settings.size)], settings.score
            )
        case "haar":
            return HaarDetector(settings.file, settings.score)
        case "res10":
            return Res10Detector(settings.file, settings.score)
