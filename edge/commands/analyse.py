"""`emotion-edge analyse`: writes a CSV table from pictures or a video, one row for each face with its scores."""

import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.cameras.camera import printable
from edge.cameras.image_decoder import ImageDecoder, NoDecoderError
from edge.cameras.images import images_below, is_image, read_image
from edge.cameras.mounting import turn, upright
from edge.cameras.video_file import VideoFile
from edge.commands.analyse_table import Row, Table, text_of
from edge.commands.progress import Progress
from edge.config import Settings
from edge.errors import EmotionEdgeError
from edge.models.runtime import choose
from edge.pipeline import Pipeline, open_pipeline
from edge.reading import Face, Frame

_log = logging.getLogger(__name__)

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells define it."""


@dataclass(slots=True)
class _Counts:
    pictures: int = 0
    with_faces: int = 0
    faces: int = 0
    unreadable: int = 0

    def add(self, faces: int) -> None:
        self.pictures += 1
        self.faces += faces
        self.with_faces += faces > 0


def analyse(settings: Settings, source: Path, table: Path) -> int:
    """Write a row for each face of each picture or frame; a picture without a face gets a row without one.

    An existing table that was made by the same model is continued after its last complete picture.

    Args:
        settings: the sections detector, emotion and runtime apply, and `camera.rotate` and `camera.flip`.
        source: an image, a folder of images with its subfolders, or a video.
        table: the CSV file to write.

    Returns:
        The exit status: 0, or 130 after Ctrl-C.

    Raises:
        EmotionEdgeError: the source does not exist or has nothing to read, or the existing table has other columns.
    """
    if not source.exists():
        raise EmotionEdgeError(f"analyse: {printable(source)}: not there")
    stack = source.is_dir() or is_image(source)
    # Detection and classification run on every frame, so that the result does not depend on the speed of the machine.
    detector = settings.detector.model_copy(update={"every": 1})
    emotion = settings.emotion.model_copy(update={"rate": 0.0})
    camera = settings.camera.model_copy(update={"source": str(source), "loop": False, "realtime": False})
    settings = settings.model_copy(update={"detector": detector, "emotion": emotion, "camera": camera})
    pipeline = open_pipeline(settings, choose(settings.runtime.interpreter, settings.runtime.accelerator))
    labels = pipeline.card.primary.labels
    model = f"{pipeline.card.name} {pipeline.card.version}"
    counts = _Counts()
    with Table(table, "file" if stack else "time", labels, model) as rows:
        work = (
            _pictures(settings, source, pipeline, rows, counts)
            if stack
            else _video(settings, source, pipeline, rows, counts)
        )
        try:
            for key, faces, note in work:
                rows.write(key, faces, note)
        except KeyboardInterrupt:
            print(f"\nemotion-edge: stopped; the same command continues {printable(table)}", file=sys.stderr)
            return INTERRUPTED
    noun = "picture" if stack else "frame"
    unreadable = f", {counts.unreadable} unreadable" if counts.unreadable else ""
    print(
        f"{counts.pictures} {noun}{'s' * (counts.pictures != 1)}{unreadable}: {counts.faces} "
        f"face{'s' * (counts.faces != 1)} in {counts.with_faces}; {printable(table)}"
    )
    return 0


def _pictures(
    settings: Settings, source: Path, pipeline: Pipeline, table: Table, counts: _Counts
) -> Iterator[tuple[str, Iterable[Row], str]]:
    """Yield for each picture its name in the table, its faces, and the error if it could not be read."""
    files = images_below(source) if source.is_dir() else [source]
    if not files:
        raise EmotionEdgeError(f"analyse: folder {printable(source)}: has no image in it or below it")
    base = source if source.is_dir() else source.parent
    degrees, flip = int(settings.camera.rotate), settings.camera.flip
    with ImageDecoder() as decoder, Progress(len(files), "pictures") as progress:
        for number, path in enumerate(files):
            key = text_of(path.relative_to(base))
            if not table.has(key):
                try:
                    image = turn(read_image(path, decoder), degrees, flip)
                except NoDecoderError:
                    raise
                except EmotionEdgeError as error:
                    counts.unreadable += 1
                    _log.warning("%s", error)
                    yield key, (), " ".join(str(error).partition(": ")[2].split())
                else:
                    reading = pipeline.analyse(Frame(image, float(number), 0.0, number, unrelated=True))
                    counts.add(len(reading.faces))
                    yield key, [_row(face, id) for id, face in enumerate(reading.faces, 1)], ""
            progress.at(number + 1)


def _video(
    settings: Settings, source: Path, pipeline: Pipeline, table: Table, counts: _Counts
) -> Iterator[tuple[str, Iterable[Row], str]]:
    """Yield for each frame its time in seconds as text, its faces, and an empty note."""
    video = VideoFile(source, settings.camera)
    camera = upright(video, settings.camera)
    if table.last:
        _log.info("continuing after %s s of %s, with new ids", table.last, video.name)
    try:
        with Progress(video.seconds, "seconds of video") as progress:
            for number, picture in enumerate(iter(camera.read, None)):
                at = picture.position or 0.0
                progress.at(at)
                key = f"{at:.3f}"
                if table.last and float(table.last) >= float(key):
                    continue
                reading = pipeline.analyse(Frame(picture.image, at, 0.0, number, picture.analysis))
                faces = [face for face in reading.faces if face.track in pipeline.visible_tracks]
                counts.add(len(faces))
                yield key, [_row(face, face.track + table.largest_id) for face in faces], ""
    finally:
        camera.close()


def _row(face: Face, id: int) -> Row:
    return Row(id, face.detection, face.emotion, face.confidence, face.scores, face.valence, face.arousal)
