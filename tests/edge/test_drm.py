"""The screen without a desktop: what can be tested without one. `python -m edge.outputs.display.drm` shows the rest."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.outputs.display import drm_kernel as kernel
from edge.outputs.display.drm import best_mode, colour_bars, find_display, placed, write
from edge.outputs.display.drm_kernel import Mode, NoScreenError
from tests.support.samples import picture

HEADERS = [Path("/usr/include/libdrm"), Path("/usr/include/drm")]
STRUCTURES = {
    "drm_mode_card_res": kernel.Resources,
    "drm_mode_modeinfo": kernel.Mode,
    "drm_mode_crtc": kernel.Crtc,
    "drm_mode_get_encoder": kernel.Encoder,
    "drm_mode_get_connector": kernel.Connector,
    "drm_mode_fb_cmd": kernel.FrameBuffer,
    "drm_mode_crtc_page_flip": kernel.PageFlip,
    "drm_mode_create_dumb": kernel.CreateDumb,
    "drm_mode_map_dumb": kernel.MapDumb,
    "drm_mode_destroy_dumb": kernel.DestroyDumb,
    "drm_get_cap": kernel.Capability,
}
CONSTANTS = {
    "DRM_IOCTL_GET_CAP": kernel.GET_CAP,
    "DRM_IOCTL_SET_MASTER": kernel.SET_MASTER,
    "DRM_IOCTL_MODE_GETRESOURCES": kernel.GET_RESOURCES,
    "DRM_IOCTL_MODE_SETCRTC": kernel.SET_CRTC,
    "DRM_IOCTL_MODE_GETENCODER": kernel.GET_ENCODER,
    "DRM_IOCTL_MODE_GETCONNECTOR": kernel.GET_CONNECTOR,
    "DRM_IOCTL_MODE_ADDFB": kernel.ADD_FB,
    "DRM_IOCTL_MODE_RMFB": kernel.REMOVE_FB,
    "DRM_IOCTL_MODE_PAGE_FLIP": kernel.PAGE_FLIP,
    "DRM_IOCTL_MODE_CREATE_DUMB": kernel.CREATE_DUMB,
    "DRM_IOCTL_MODE_MAP_DUMB": kernel.MAP_DUMB,
    "DRM_IOCTL_MODE_DESTROY_DUMB": kernel.DESTROY_DUMB,
    "DRM_CAP_DUMB_BUFFER": kernel.CAN_DUMB_BUFFERS,
    "DRM_MODE_TYPE_PREFERRED": kernel.PREFERRED,
    "DRM_MODE_FLAG_INTERLACE": kernel.INTERLACED,
    "DRM_MODE_PAGE_FLIP_EVENT": kernel.FLIP_EVENT,
}


def test_structures_and_calls_are_the_kernels(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    folder = next((folder for folder in HEADERS if (folder / "drm_mode.h").is_file()), None)
    if not compiler or not folder:
        pytest.skip("no compiler or no drm_mode.h here (Debian: gcc, libdrm-dev)")
    lines = ["#include <stdio.h>", "#include <stddef.h>", "#include <drm.h>", "int main(void) {"]
    expected = []
    for name, structure in STRUCTURES.items():
        lines.append(f'printf("%zu\\n", sizeof(struct {name}));')
        expected.append(ctypes.sizeof(structure))
        for field, *_ in structure._fields_:
            lines.append(f'printf("%zu\\n", offsetof(struct {name}, {field}));')
            expected.append(getattr(structure, field).offset)
    for name, value in CONSTANTS.items():
        lines.append(f'printf("%llu\\n", (unsigned long long)({name}) & 0xffffffffULL);')
        expected.append(value)
    source, program = tmp_path / "sizes.c", tmp_path / "sizes"
    source.write_text("\n".join([*lines, "return 0; }"]))
    subprocess.run([compiler, "-I", str(folder), "-o", str(program), str(source)], check=True)
    told = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    assert [int(line) for line in told.split()] == expected


def mode(width: int, height: int, rate: int = 60, preferred: bool = False, interlaced: bool = False) -> Mode:
    return Mode(
        hdisplay=width,
        vdisplay=height,
        vrefresh=rate,
        type=kernel.PREFERRED if preferred else 0,
        flags=kernel.INTERLACED if interlaced else 0,
    )


@pytest.mark.parametrize(
    ("modes", "chosen"),
    [
        ([mode(800, 480)], (800, 480, 60)),
        ([mode(1920, 1080), mode(1280, 1024, preferred=True)], (1280, 1024, 60)),
        ([mode(1024, 768), mode(800, 600)], (1024, 768, 60)),  # by convention the first mode is the display's best
        ([mode(3840, 2160, 30, preferred=True), mode(1920, 1080, 50), mode(1920, 1080, 60)], (1920, 1080, 60)),
        ([mode(3840, 2160, preferred=True), mode(1920, 1200), mode(1280, 720)], (1280, 720, 60)),
        ([mode(3840, 2160, preferred=True)], (3840, 2160, 60)),
        ([mode(1920, 1080, preferred=True, interlaced=True), mode(1280, 720)], (1280, 720, 60)),
        ([mode(720, 576, interlaced=True)], (720, 576, 60)),
    ],
)
def test_mode_is_the_displays_own_unless_that_is_too_large(modes: list[Mode], chosen: tuple[int, int, int]) -> None:
    best = best_mode(modes)
    assert (best.hdisplay, best.vdisplay, best.vrefresh) == chosen


def test_display_without_modes_is_said() -> None:
    with pytest.raises(NoScreenError, match="no mode"):
        best_mode([])


@pytest.mark.parametrize("size", [(640, 480), (800, 480), (320, 480), (101, 77), (2000, 2000)])
def colour_barss_are_in_the_middle_of_the_memory_with_its_pitch(size: tuple[int, int]) -> None:
    image, pitch = picture(*size), 800 * 4 + 64
    memory = bytearray(b"\x07" * (pitch * 480))
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = np.ndarray(
        (480, 800, 4), np.uint8, memory, strides=(pitch, 4, 1)
    )
    left, top, width, height = write(image, pixels)
    assert (left, top, width, height) == placed(size, (800, 480))
    assert abs(2 * left + width - 800) <= 1
    assert abs(2 * top + height - 480) <= 1
    assert np.array_equal(pixels[top : top + height, left : left + width, :3], image[:height, :width])
    outside = np.ones((480, 800), bool)
    outside[top : top + height, left : left + width] = False
    assert (pixels[outside] == 7).all()
    assert set(memory[800 * 4 : pitch]) == {7}  # between the rows


def test_no_card_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoScreenError, match="no graphics card"):
        find_display(tmp_path)


def test_what_is_no_card_is_said(tmp_path: Path) -> None:
    (tmp_path / "card0").symlink_to("/dev/null")
    with pytest.raises(NoScreenError, match=r"none of .*card0 drives a display"):
        find_display(tmp_path)


def test_a_card_that_may_not_be_used_is_said(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may use everything")
    (tmp_path / "card0").touch(mode=0)
    with pytest.raises(NoScreenError, match="group video"):
        find_display(tmp_path)


def test_the_test_picture_has_known_colours() -> None:
    image = colour_bars(1024, 768)
    assert [image[10, x].tolist() for x in (10, 512, 1010)] == [[0, 0, 255], [0, 255, 0], [255, 0, 0]]
    assert (image[480:620] == 255).all(axis=2).sum() > 500
    assert cv2.mean(image[:384])[:3] == pytest.approx((85, 85, 85), abs=1)
