"""Makes the pictures in docs/ that need no running daemon: the notice, and a 16:9 screen with the bundled clip.

.venv-dev/bin/python -m tests.bench.still_pictures docs
"""

import sys
import tempfile
from io import BytesIO
from pathlib import Path

import cv2
from PIL import Image

from edge.commands.notice import notice_page
from edge.config import Settings
from edge.media import CLIP
from edge.models.runtime import choose
from edge.outputs.drawing.last_minute import LastMinute
from edge.outputs.drawing.screen import on_screen
from edge.pipeline import open_pipeline
from edge.reading import Frame
from edge.translations import words_of
from tests.support.browser import look_at, start_browser

FRAMES_PER_SECOND = 20
AT_SECONDS = 53
"""Seconds into the looped clip at which the last minute is nearly full and both faces are in view."""

NOTICE = {
    "controller": "Example Makerspace e.V., Harbour Street 4, 20457 Hamburg",
    "contact": "privacy@example.org, +49 40 5550123",
    "purpose": "An installation that answers the visitors' expressions with light.",
    "url": "https://example.org/emotion",
}


def screen(out: Path, size: tuple[int, int] = (1280, 720)) -> None:
    """Analyse the clip for AT_SECONDS, and write what a screen of this size then shows."""
    pipeline, minute = open_pipeline(Settings(), choose("auto")), LastMinute(words_of())
    clip = cv2.VideoCapture(str(CLIP))
    for sequence in range(FRAMES_PER_SECOND * AT_SECONDS):
        done, image = clip.read()
        if not done:
            clip.set(cv2.CAP_PROP_POS_FRAMES, 0)
            _, image = clip.read()
        at = 1000 + sequence / FRAMES_PER_SECOND
        frame = Frame(image, at, at, sequence)  # type: ignore[arg-type]
        reading = pipeline.analyse(frame)
        minute.put(reading)
    shown = on_screen(frame.image, reading, size, context=minute.context())
    cv2.imwrite(str(out), shown, (cv2.IMWRITE_JPEG_QUALITY, 85))


def notice(out: Path) -> None:
    """Write a picture of the notice as a browser renders it at A4 size."""
    settings = Settings.model_validate({"notice": NOTICE, "record": {"enabled": True}})
    with tempfile.TemporaryDirectory() as name:
        page = Path(name) / "notice.html"
        page.write_text(notice_page(settings, "en"), encoding="utf-8")
        browser = start_browser(Path(name) / "profile")
        try:
            look_at(browser, page.as_uri(), 794, 1123)
            picture = Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        finally:
            browser.quit()
    picture.quantize(64, method=Image.Quantize.FASTOCTREE).save(out, optimize=True)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    screen(folder / "screen-wide.jpg")
    notice(folder / "notice.png")
