"""Pictures laid out on a page, each sheet or picture a data URI."""

import base64
from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup

Picture = npt.NDArray[np.uint8]

_LOSSLESS: Final = 4096
"""Pixels up to which a picture on its own is a PNG: so small, a JPEG saves little and blurs a face of 48 pixels."""
_QUALITY: Final = 85


def image_sheet(images: Sequence[Picture], captions: Sequence[str], columns: int = 8) -> Markup:
    """Pictures, each under its own words, as many side by side as there is room for, at most `columns`.

    images: uint8 [h, w] grey or [h, w, 3] BGR, of any sizes. captions: one each; what a screen reader says, too.
    """
    cells = [
        Markup(
            '<li><figure><img src="{}" width="{}" height="{}" alt="{}"><figcaption>{}</figcaption></figure></li>'
        ).format(data_uri(image), image.shape[1], image.shape[0], caption, caption)
        for image, caption in zip(images, captions, strict=True)
    ]
    return Markup('<ul class="sheet" style="--columns: {}">{}</ul>').format(columns, Markup("\n").join(cells))


def mosaic(
    images: Sequence[Picture], columns: int, alt: str, title: str = "", remark: str = "", side: int = 48
) -> Markup:
    """Pictures tiled into one, under a title in bold and a remark: many faces in little space.

    images: uint8 [h, w] grey or [h, w, 3] BGR; each is scaled into a square of `side` pixels, its own shape kept.
    """
    colour = any(image.ndim == 3 for image in images)
    squares = [_square(image, side, colour) for image in images]
    gap = 2
    rows = -(-len(squares) // columns)
    # Between the pictures the page's ground, light or dark, shows through.
    sheet = np.zeros((rows * (side + gap) - gap, columns * (side + gap) - gap, 4), np.uint8)
    for number, square in enumerate(squares):
        top, left = number // columns * (side + gap), number % columns * (side + gap)
        sheet[top : top + side, left : left + side, :3] = square if colour else square[..., None]
        sheet[top : top + side, left : left + side, 3] = 255
    words = Markup("<strong>{}</strong> {}").format(title, remark)
    return Markup(
        '<figure class="mosaic"><figcaption>{}</figcaption><img src="{}" width="{}" height="{}" alt="{}"></figure>'
    ).format(words, data_uri(sheet), sheet.shape[1], sheet.shape[0], alt)


def data_uri(image: Picture) -> str:
    """A picture, grey, BGR or BGRA, as a `data:` address: PNG where it is small or partly clear, else JPEG."""
    lossless = (image.ndim == 3 and image.shape[2] == 4) or image.shape[0] * image.shape[1] <= _LOSSLESS
    options: list[Any] = [cv2.IMWRITE_PNG_COMPRESSION, 9] if lossless else [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    _, packed = cv2.imencode(".png" if lossless else ".jpg", image, options)
    return f"data:image/{'png' if lossless else 'jpeg'};base64,{base64.b64encode(packed.tobytes()).decode('ascii')}"


def _square(image: Picture, side: int, colour: bool) -> Picture:
    """The picture in the middle of a square, grey [side, side] or BGR [side, side, 3], on mid-grey."""
    if colour and image.ndim == 2:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    scale = side / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shrunk = cv2.resize(image, (width, height), interpolation=way)
    square = np.full((side, side, 3) if colour else (side, side), 128, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = shrunk
    return square
