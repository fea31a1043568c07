"""RTSP against GStreamer's server: transports, passwords, sound, key frames that are far apart."""

import time
from contextlib import ExitStack

import pytest

from edge.cameras.choose import open_camera
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError
from edge.reading import Image
from tests.support.gst_rtsp import JPEG, RED, audio, gst_rtsp, key_frames_apart, require_gstreamer, video
from tests.support.pictures import HEIGHT, WIDTH


def pictures(address: str, count: int = 5) -> list[Image]:
    camera = open_camera(CameraSettings(source=address))
    taken = [camera.read() for _ in range(count)]
    camera.close()
    return [picture.image for picture in taken if picture]


def is_red(image: Image) -> bool:
    blue, green, red = (int(value) for value in image[HEIGHT // 2, WIDTH // 2])
    return image.shape == (HEIGHT, WIDTH, 3) and red > 200 and blue < 60 and green < 60


@pytest.mark.parametrize(
    ("launch", "transport"),
    [
        (video(), "both"),
        (video(), "tcp"),
        (video(), "udp"),
        (f"{audio(0)} {video(pay=1)}", "both"),
        (f"{video()} {audio(1)}", "tcp"),
        (f"{RED} ! {JPEG}", "tcp"),
    ],
    ids=["both", "tcp only", "udp only", "sound first", "sound second", "jpeg"],
)
def test_a_stream_is_read(launch: str, transport: str) -> None:
    with gst_rtsp(launch, transport) as place:
        images = pictures(f"RTSP://{place}")
    assert len(images) == 5
    assert all(map(is_red, images))


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_a_password_is_asked_for(method: str) -> None:
    with gst_rtsp(video(), "tcp", method, "me", "p/s@#") as place:
        assert all(map(is_red, pictures(f"rtsp://me:p%2Fs%40%23@{place}")))
        with pytest.raises(EmotionEdgeError, match="asks for a user name and a password"):
            pictures(f"rtsp://{place}")
        with pytest.raises(
            EmotionEdgeError, match=r"sends no video \(check the path, the user name and the"
        ) as refused:
            pictures(f"rtsp://me:hush@{place}")
    assert "hush" not in str(refused.value)


def test_a_wrong_path_is_named_so() -> None:
    with (
        gst_rtsp(video()) as place,
        pytest.raises(EmotionEdgeError, match="has no stream at this address: check the path"),
    ):
        pictures(f"rtsp://{place}/none")


def test_a_stream_is_joined_long_before_its_next_key_frame() -> None:
    require_gstreamer()
    with ExitStack() as stack:
        launch = stack.enter_context(key_frames_apart(seconds=8))
        place = stack.enter_context(gst_rtsp(launch, "tcp"))
        first = None
        began = time.monotonic()
        while first is None and time.monotonic() - began < 60:  # the server, too, waits for a key frame
            try:
                first = open_camera(CameraSettings(source=f"rtsp://{place}"))
            except EmotionEdgeError:
                continue
        assert first
        for _ in range(20):
            first.read()
        joined = time.monotonic()
        assert all(map(is_red, pictures(f"rtsp://{place}")))
        print(f"joined after {time.monotonic() - joined:.1f} s")
        first.close()
