"""What the daemon imports, and what it leaves until it is needed."""

import subprocess
import sys

NUMPY = """
import sys
from edge.system.late_imports import import_late
import_late()
import numpy
late = ("ctypeslib", "fft", "ma", "polynomial", "random")
print([part for part in late if any(name.startswith(f"numpy.{part}.") for name in sys.modules)])
numpy.random.seed(1)
print(numpy.random.default_rng(1).integers(10, size=3).shape, numpy.ma.masked_array([1, 2], [0, 1]).sum())
print(numpy.allclose(numpy.fft.ifft(numpy.fft.fft([1, 2])), [1, 2]), numpy.polynomial.Polynomial([1, 2])(3))
import numpy.random
print("numpy.random.mtrand" in sys.modules)
"""

DAEMON = """
import sys
from edge.system.late_imports import import_late
import_late()
import edge.daemon.run
from edge.daemon.stats import Meter
from edge.models.card import EmotionCard, read_card
from edge.models.released import model_dir
from edge.models.runtime import choose
from edge.reading import Reading

meter = Meter(read_card(EmotionCard, model_dir("emotion-small")), choose())
for number in range(3):
    meter.add(Reading(number, 0.0, 0.0, 64, 48, (), {"detect": 1.0 + number}))
print(meter.stats(3, 0, "online", "full", None).stages)
late = {
    *("calendar", "csv", "curses", "difflib", "gzip", "html", "logging.handlers", "mimetypes", "multiprocessing"),
    *("numpy.ma", "pickle", "urllib.request"),
    *("edge.cameras.http_camera", "edge.cameras.picamera", "edge.cameras.stream", "edge.cameras.v4l2"),
    *("edge.cameras.video_file", "edge.emotion.remote", "edge.emotion.tensorflow_serving"),
    *("edge.outputs.display.output", "edge.outputs.gpio", "edge.record.report_page"),
}
print(sorted(name for name in late & set(sys.modules) if type(sys.modules[name]).__name__ != "_LateModule"))
import html, logging.handlers, difflib
print(html.escape("<"), logging.handlers.SysLogHandler.LOG_ERR, difflib.get_close_matches("abc", ["abd"]))
"""


def _lines(script: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


def test_parts_of_numpy_are_imported_when_they_are_read() -> None:
    assert _lines(NUMPY) == ["[]", "(3,) 1", "True 7.0", "True"]


def test_the_daemon_imports_only_what_it_runs() -> None:
    stages, imported, used = _lines(DAEMON)
    assert stages == "{'detect': 2.0}"
    assert imported == "[]"
    assert used == "&lt; 3 ['abd']"
