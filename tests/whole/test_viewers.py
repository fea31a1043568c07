"""The annotated stream, read by ffmpeg, VLC and OBS Studio with the addresses in integrations/viewers/."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import pytest
import yaml

from edge.config import WebSettings
from edge.outputs.web.server import WebViewer
from tests.conftest import ROOT
from tests.support.daemon import free_port, wait_until
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
    assert isinstance(source, str)
    return of_the_test(source, viewer)


def of_the_test(address: str, viewer: WebViewer) -> str:
    """Replace the host and the password of an address by those of the test's page."""
    return address.replace("PASSWORD", QUOTED).replace("kitchen.lan:8080", f"127.0.0.1:{port_of(viewer)}")


@contextmanager
def program(words: Sequence[str], log: Path, **variables: str) -> Iterator[None]:
    """Context manager: runs a program that does not end by itself, as a process group."""
    # OpenCV names the plugins of its own Qt in the environment, with which no other Qt program starts.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QT_")} | variables
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, process_group=0
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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


@pytest.mark.skipif(not shutil.which("cvlc"), reason="VLC is not installed")
def test_vlc_plays_the_stream(viewer: WebViewer, tmp_path: Path) -> None:
    url = re.findall(r"^\| VLC \|.*`(http://.*)`", (ROOT / "docs/viewers.md").read_text(), re.MULTILINE)[0]
    as_user: list[str] = []
    if os.geteuid() == 0:  # VLC refuses to run as root
        as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    # Another user may not enter the folder of the tests.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        frames = Path(folder)
        words = f"cvlc --no-audio --vout dummy --video-filter scene --scene-ratio 1 --scene-path {folder}".split()
        with program([*as_user, *words, of_the_test(url, viewer)], tmp_path / "log", HOME=folder):
            wait_until(lambda: len(list(frames.glob("scene*.png"))) > 5, "six frames", 60)
        frame = cv2.imread(str(min(frames.glob("scene*.png"))))
    assert frame is not None
    assert frame.shape == (480, 640, 3)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("obs") and shutil.which("xvfb-run")), reason="OBS Studio is not installed")
def test_obs_records_the_stream(viewer: WebViewer, tmp_path: Path) -> None:
    settings = tmp_path / "obs-studio"
    profile, scenes = settings / "basic/profiles/test/basic.ini", settings / "basic/scenes/board.json"
    profile.parent.mkdir(parents=True)
    scenes.parent.mkdir()
    # As after the first start, which opens a wizard.
    (settings / "global.ini").write_text("[General]\nFirstRun=true\nLastVersion=486539266\nInfoIncrement=100\n")
    profile.write_text(
        "[General]\nName=test\n[Video]\nBaseCX=640\nBaseCY=480\nOutputCX=640\nOutputCY=480\nFPSCommon=10\n"
        f"[SimpleOutput]\nFilePath={tmp_path}\nRecFormat=mkv\nRecQuality=Small\n"
    )
    collection = (FOLDER / "obs.json").read_text()
    scenes.write_text(of_the_test(collection, viewer))
    name = json.loads(collection)["name"]
    words = ["xvfb-run", "-a", "obs", "--multi", "--startrecording", "--profile", "test", "--collection", name]
    variables = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "LIBGL_ALWAYS_SOFTWARE": "1"}

    def distinct_frames() -> int:
        for file in tmp_path.glob("*.mkv"):
            sums = ["ffmpeg", "-v", "quiet", "-i", str(file), "-map", "0:v", "-f", "framemd5", "-"]
            done = subprocess.run(sums, capture_output=True, text=True, check=False)
            return len({line.split(",")[-1] for line in done.stdout.splitlines() if not line.startswith("#")})
        return 0

    with program(words, tmp_path / "log", XDG_RUNTIME_DIR=str(tmp_path), **variables):
        wait_until(lambda: distinct_frames() > 10, "a recording of moving pictures", 120)


def test_without_the_password_nothing_is_shown(viewer: WebViewer) -> None:
    words = ["ffprobe", "-v", "error", "-f", "mpjpeg", f"http://127.0.0.1:{port_of(viewer)}/stream"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "401" in done.stderr


def test_the_page_names_what_is_there() -> None:
    text = (ROOT / "docs/viewers.md").read_text()
    (stream, _) = yaml.safe_load((FOLDER / "go2rtc.yaml").read_text())["streams"]["kitchen"]
    (source, _) = json.loads((FOLDER / "obs.json").read_text())["sources"]
    assert source["settings"]["input"] == stream.partition("?")[0]
    assert source["settings"]["input"] in text
    assert set(re.findall(r"integrations/viewers/[\w.]+", text)) == {
        str(path.relative_to(ROOT)) for path in FOLDER.iterdir()
    }
    frigate = yaml.safe_load((FOLDER / "frigate.yml").read_text())
    assert frigate["cameras"]["kitchen"]["ffmpeg"]["inputs"][0]["path"].endswith("/kitchen")
    assert frigate["cameras"]["kitchen"]["record"]["enabled"] is False
