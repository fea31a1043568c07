"""Emotions of faces in Python: pictures and video in, Readings out, without a daemon, a broker or a camera."""

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import numpy as np

from edge.config import EmotionSettings, Settings
from edge.emotion.classifier import open_classifier
from edge.errors import EmotionEdgeError
from edge.faces.detector import open_detector
from edge.models.runtime import choose
from edge.outputs.drawing.colours import choose_colours
from edge.outputs.drawing.overlay import annotate
from edge.pipeline import Pipeline
from edge.reading import Frame, Image, Reading


class Analyser:
    """Finds faces in pictures or video and classifies their emotions. Not thread-safe.

    Example:
        >>> from edge import Analyser
        >>> with Analyser(model="emotion-small") as analyser:
        ...     reading = analyser.read(cv2.imread("face.jpg"))
        >>> [(face.emotion, round(face.confidence, 2)) for face in reading.faces]
        [('happy', 0.97)]
    """

    def __init__(self, model: str = "emotion-small", *, settings: Settings | None = None) -> None:
        """Load the face detector and the emotion model.

        Args:
            model: Name of an installed model, folder of one, or `committee`; several with `+` between them vote.
            settings: All other settings, named as in systemd/config.yaml; None: the defaults, except that every frame
                is classified (`emotion.rate` 0).

        Raises:
            EmotionEdgeError: A model is missing or incomplete, or no TensorFlow Lite interpreter is installed.
        """
        chosen = settings or Settings(emotion=EmotionSettings(rate=0))
        self._settings = chosen.model_copy(update={"emotion": chosen.emotion.model_copy(update={"model": model})})
        runtime = choose(chosen.runtime.interpreter, chosen.runtime.accelerator)
        self._detector = open_detector(self._settings.detector, runtime, chosen.runtime.threads)
        self._classifier = open_classifier(self._settings.emotion, runtime, chosen.runtime.threads)
        choose_colours(self._classifier.labels, chosen.emotion.labels)
        self._open = True

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions that the model distinguishes, in the order of its scores."""
        return self._classifier.labels

    def read(self, image: Image) -> Reading:
        """Analyse one picture by itself.

        Args:
            image: BGR uint8 [H, W, 3], as OpenCV reads it, or grey uint8 [H, W].

        Returns:
            The Reading of the picture; its `faces` is empty if no face was found.

        Raises:
            EmotionEdgeError: The array has another shape or dtype.
        """
        return self._pipeline(still=True).analyse(_frame(image, 0, time.monotonic()))

    def read_all(self, images: Iterable[Image]) -> list[Reading]:
        """Analyse several pictures, each by itself.

        Args:
            images: Pictures, each BGR uint8 [H, W, 3] or grey uint8 [H, W].

        Returns:
            One Reading for each picture, in the same order.

        Raises:
            EmotionEdgeError: An array has another shape or dtype.
        """
        return [self.read(image) for image in images]

    def follow(self, frames: Iterable[Image], fps: float | None = None) -> Iterator[tuple[Image, Reading]]:
        """Analyse the frames of one video: faces keep their ids, and scores are smoothed over time.

        Args:
            frames: Frames in the order of the video, each BGR uint8 [H, W, 3] or grey uint8 [H, W].
            fps: Frames per second of a recorded video, from which the time of each frame is computed; None: the frames
                are live, and the time of each is when it arrives.

        Yields:
            Each frame and its Reading. A new face is in the Reading from the second frame that shows it.

        Raises:
            EmotionEdgeError: A frame has another shape or dtype, or `fps` is not above 0.
        """
        if fps is not None and not 0 < fps < float("inf"):
            raise EmotionEdgeError(f"Analyser.follow: fps {fps}: frames a second, above 0")
        pipeline = self._pipeline(still=False)
        began = time.monotonic()
        for number, image in enumerate(frames):
            at = began + number / fps if fps else time.monotonic()
            yield image, pipeline.analyse(_frame(image, number, at))

    def close(self) -> None:
        """Release the models. The analyser cannot be used afterwards."""
        self._open = False
        del self._detector, self._classifier

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pipeline(self, still: bool) -> Pipeline:
        """Return a new pipeline without tracks that uses the loaded models. still: each frame stands alone."""
        if not self._open:
            raise EmotionEdgeError("Analyser: closed")
        if still:
            return Pipeline(self._detector, self._classifier, self._settings, confirm=1, still=True)
        return Pipeline(self._detector, self._classifier, self._settings)


def draw(image: Image, reading: Reading) -> Image:
    """Return a copy of a picture with the boxes and emotions of its Reading and the notice of emotion recognition.

    Args:
        image: BGR uint8 [H, W, 3], the picture that was analysed, or the same picture at another size.
        reading: What `Analyser.read` or `Analyser.follow` returned for the picture.
    """
    return annotate(image, reading)


def _frame(image: Image, number: int, captured_at: float) -> Frame:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
        got = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise EmotionEdgeError(f"Analyser: a picture is a uint8 array [H, W, 3] in BGR or [H, W] in grey, not {got}")
    if image.ndim == 3 and image.shape[2] != 3:
        raise EmotionEdgeError(f"Analyser: {image.shape[2]} channels: a picture has 3 in BGR; cv2.cvtColor converts")
    picture = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
    return Frame(picture, captured_at, time.time(), number)
