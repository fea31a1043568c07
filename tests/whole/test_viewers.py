"""The annotated stream, read by ffmpeg with the addresses in integrations/viewers/."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from edge.config import WebSettings
from edge.outputs.web.server import WebViewer
from tests.conftest import ROOT
from tests.support.daemon import free_port
from tests.support.live import feeding, port_of

FOLDER = ROOT / "integrations" / "viewers"
PASSWORD = "open sesame @home"
QUOTED = "open%20sesame%20%40home"

pytestmark = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")


@pytest.fixture(scope="module")
def viewer() -> Iterator[WebViewer]:
    page = WebViewer(WebSettings.model_validate({"host": "0.0.0.0", "password": PASSWORD, "port": free_port()}))
    with feeding(page):
        yield page
    page.close()


def address(file: str, viewer: WebViewer) -> str:
    """Read the stream's address from a configuration, with the host replaced by the test's page."""
    tree = yaml.safe_load((FOLDER / file).read_text())
    streams = tree["go2rtc"]["streams"] if file == "frigate.yml" else tree["streams"]
    (source, transcoded) = streams["kitchen"]
    assert transcoded == "ffmpeg:kitchen#video=h264"
    text = source.replace("PASSWORD", QUOTED).replace("kitchen.lan:8080", f"127.0.0.1:{port_of(viewer)}")
    assert isinstance(text, str)
    return text


def run(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("file", ["go2rtc.yaml", "frigate.yml"])
def test_ffprobe_reads_the_stream_with_its_password(file: str, viewer: WebViewer) -> None:
    words = ["ffprobe", "-v", "error", "-f", "mpjpeg", "-show_streams", "-of", "json", address(file, viewer)]
    (stream,) = json.loads(run(*words))["streams"]
    assert (stream["codec_name"], stream["width"], stream["height"]) == ("mjpeg", 640, 480)


def test_ffmpeg_makes_the_h264_that_go2rtc_hands_on(viewer: WebViewer, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    words = ["ffmpeg", "-v", "error", "-f", "mpjpeg", "-i", address("go2rtc.yaml", viewer), "-frames:v", "20"]
    run(*words, "-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", out)
    told = json.loads(run("ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", out))["streams"][0]
    assert (told["codec_name"], told["width"], told["height"], told["nb_read_frames"]) == ("h264", 640, 480, "20")


def test_without_the_password_nothing_is_shown(viewer: WebViewer) -> None:
    words = ["ffprobe", "-v", "error", "-f", "mpjpeg", f"http://127.0.0.1:{port_of(viewer)}/stream"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "401" in done.stderr


def test_the_page_names_what_is_there() -> None:
    text = (ROOT / "docs/viewers.md").read_text()
    assert set(re.findall(r"integrations/viewers/[\w.]+", text)) == {
        str(path.relative_to(ROOT)) for path in FOLDER.iterdir()
    }
    frigate = yaml.safe_load((FOLDER / "frigate.yml").read_text())
    assert frigate["cameras"]["kitchen"]["ffmpeg"]["inputs"][0]["path"].endswith("/kitchen")
    assert frigate["cameras"]["kitchen"]["record"]["enabled"] is False
