"""`emotion-edge snapshot`: analyses one picture, prints the result as JSON and writes the annotated picture."""

import json
import time
from pathlib import Path

import cv2

from edge.cameras.capture import Capture
from edge.cameras.choose import open_camera
from edge.config import CameraSettings, Settings
from edge.config.secrets import without_password
from edge.errors import EmotionEdgeError
from edge.models.runtime import choose
from edge.outputs.drawing.blur import FaceBlur
from edge.outputs.drawing.colours import choose_colours
from edge.outputs.drawing.last_minute import Context, LastMinute
from edge.outputs.drawing.overlay import annotate
from edge.pipeline import open_pipeline
from edge.reading import Image
from edge.translations import words_of

PATIENCE = 10.0
"""Seconds to wait for a camera's first picture."""


def snapshot(settings: Settings, image: Path | None, out: Path, after: float = 0.0) -> str:
    """Analyse an image file or one frame of the camera, write the annotated picture, and return the JSON.

    Raises EmotionEdgeError if there is no picture or `out` cannot be written. after: seconds for which the camera is
    watched first, so that its exposure settles and the scores are smoothed.
    """
    if image is not None and not image.exists():
        raise EmotionEdgeError(f"snapshot: image {image}: not there")
    camera = settings.camera if image is None else CameraSettings(source=str(image), loop=False)
    pipeline = open_pipeline(settings, choose(settings.runtime.interpreter, settings.runtime.accelerator), confirm=1)
    choose_colours(pipeline.card.primary.labels, settings.emotion.labels)
    capture = Capture(camera, open_camera(camera))
    minute = LastMinute(words_of(settings.display.language))
    blur = FaceBlur(settings.detector.region) if settings.display.blur else None
    try:
        began = time.monotonic()
        while True:
            frame = capture.newest(timeout=PATIENCE)
            if frame is None:
                source = without_password(camera.source)
                raise EmotionEdgeError(f"snapshot: no picture from {source}: {capture.status}")
            reading = pipeline.analyse(frame)
            minute.put(reading)
            shown = blur(frame, reading) if blur else frame
            if time.monotonic() - began >= after:
                break
    finally:
        capture.close()
    context = minute.context() if after else Context(minute.context().words)
    _write(out, annotate(shown.image, reading, context=context))
    return json.dumps(reading.to_dict(), indent=2)


def _write(out: Path, image: Image) -> None:
    try:
        encoded = cv2.imencode(out.suffix, image)[1].tobytes()
    except cv2.error as error:
        raise EmotionEdgeError(f"snapshot: cannot write {out}: use a name ending in .jpg or .png") from error
    try:
        out.write_bytes(encoded)
    except OSError as error:
        raise EmotionEdgeError(
            f"snapshot: cannot write {out}: {error.strerror} (is the folder there and writable?)"
        ) from error
