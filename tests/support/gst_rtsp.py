"""Runs GStreamer's RTSP server in a process of the system's Python, which has GStreamer's bindings.

deploy/test-packages.sh lists the Debian packages that are needed.
"""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_SCRIPT = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer
launch, transport, method, user, password = sys.argv[1:]
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(launch)
factory.set_shared(True)
kinds = {"tcp": GstRtsp.RTSPLowerTrans.TCP, "udp": GstRtsp.RTSPLowerTrans.UDP}
factory.set_protocols(kinds[transport] if transport in kinds else kinds["tcp"] | kinds["udp"])
if method:
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST if method == "digest" else GstRtsp.RTSPAuthMethod.BASIC)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    if method == "digest":
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""

_CHECK = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"

RED = (
    "videotestsrc is-live=true pattern=solid-color foreground-color=0xffe61e1e"
    " ! video/x-raw,width=96,height=64,framerate=25/1"
)
H264 = (
    "videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={keys}"
    " option-string=scenecut=0:keyint={keys}:min-keyint={keys} ! rtph264pay name=pay{pay} pt=96"
)
AUDIO = "audiotestsrc is-live=true ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay{pay} pt=8"
JPEG = "videoconvert ! video/x-raw,format=I420 ! jpegenc ! rtpjpegpay name=pay0 pt=26"


def video(keys: int = 25, pay: int = 0) -> str:
    """GStreamer pipeline of red pictures as H.264. keys: pictures per key frame. pay: number of the stream."""
    return f"{RED} ! {H264.format(keys=keys, pay=pay)}"


@contextmanager
def key_frames_apart(seconds: int) -> Iterator[str]:
    """GStreamer pipeline of red pictures whose encoder, like a camera's, cannot be asked for a key frame."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    encode = f"{video(25 * seconds)} config-interval=-1 ! udpsink host=127.0.0.1 port={port}"
    caps = "application/x-rtp,media=video,clock-rate=90000,encoding-name=H264,payload=96"
    with subprocess.Popen(["gst-launch-1.0", "-q", *encode.split()]) as encoder:
        try:
            yield f'udpsrc port={port} caps="{caps}" ! rtph264depay ! rtph264pay name=pay0 pt=96'
        finally:
            encoder.kill()


def audio(pay: int = 1) -> str:
    """GStreamer pipeline of sound. pay: number of the stream."""
    return AUDIO.format(pay=pay)


def require_gstreamer() -> str:
    """Return the path of a Python with GStreamer's bindings; skips the test if there is none."""
    python = shutil.which("python3", path="/usr/bin")
    if not python or subprocess.run([python, "-c", _CHECK], check=False, capture_output=True).returncode:
        pytest.skip("GStreamer's RTSP server is not installed (apt install gir1.2-gst-rtsp-server-1.0)")
    return python


@contextmanager
def gst_rtsp(
    launch: str, transport: str = "both", method: str = "", user: str = "", password: str = ""
) -> Iterator[str]:
    """Serve a pipeline; yields its address as `host:port/live`. Skips the test if GStreamer's server is not installed.

    Args:
        launch: the pipeline in the syntax of gst-launch-1.0.
        transport: `tcp` or `udp` accepts only that; `both`.
        method: `basic` or `digest` authentication; empty: no password.
        user: the accepted user name.
        password: the accepted password.
    """
    command = [require_gstreamer(), "-c", _SCRIPT, f"( {launch} )", transport, method, user, password]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        port = server.stdout.readline().strip()
        try:
            assert port, "the server did not start"
            yield f"127.0.0.1:{port}/live"
        finally:
            server.kill()
