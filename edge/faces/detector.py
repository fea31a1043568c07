"""What every face detector does, and the choice of one by the settings."""

from typing import Protocol

from edge.config import DetectorSettings
from edge.faces.opencv_detectors import HaarDetector, Res10Detector, YuNetOpenCV
from edge.faces.yunet import SIZES, YuNet, model_name
from edge.model_updates.install import current
from edge.models.released import model_dir
from edge.models.runtime import Runtime
from edge.reading import Detection, Image


class Detector(Protocol):
    """Finds faces. Not safe to call from two threads at once.

    size: width and height, pixels, that a larger picture is shrunk into: it sees no more than that of one.
    """

    size: tuple[int, int]

    def detect(self, image: Image) -> list[Detection]:
        """The faces of a picture of any size, best score first.

        image: BGR uint8 [H, W, 3] or grey [H, W]. Boxes and landmarks are in its pixels.
        """
        ...


def open_detector(settings: DetectorSettings, runtime: Runtime, threads: int) -> Detector:
    """The detector that the settings name, ready to run.

    runtime, threads: for the one that runs in TensorFlow Lite; OpenCV's have OpenCV's own threads.
    Raises EmotionEdgeError when its file is missing or wrong, with how to get it.
    """
    match settings.kind:
        case "yunet":
            name = str(settings.file) if settings.file else current(model_name(settings.size))
            return YuNet(model_dir(name), settings.score, runtime, threads)
        case "opencv-yunet":
            return YuNetOpenCV(settings.file, SIZES[int(settings.size)], settings.score)
        case "haar":
            return HaarDetector(settings.file, settings.score)
        case "res10":
            return Res10Detector(settings.file, settings.score)
