"""Sheets of pictures for a page, embedded as data URIs."""

import base64
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup

Picture = npt.NDArray[np.uint8]

_LOSSLESS: Final = 4096
"""Largest number of pixels at which a single picture is stored as PNG: for one so small, JPEG saves little and
blurs.
"""
_QUALITY: Final = 88


def image_sheet(
    images: Sequence[Picture],
    captions: Sequence[str],
    columns: int = 8,
    shares: Sequence[Sequence[tuple[str, float]]] = (),
) -> Markup:
    """Lay out pictures with captions, as many side by side as the screen has room for, at most `columns`.

    Args:
        images: uint8 [h, w] grey or [h, w, 3] BGR, of any sizes.
        captions: One for each; also the alternative text.
        columns: Largest number side by side.
        shares: For each picture, label and share (0 to 1) of the bars below its caption; empty: no bars.
    """
    cells = [
        Markup(
            '<li><figure><img src="{}" width="{}" height="{}" alt="{}"><figcaption>{}{}</figcaption></figure></li>'
        ).format(data_uri(image), image.shape[1], image.shape[0], caption, caption, _bars(parts))
        for image, caption, parts in zip(images, captions, shares or [()] * len(images), strict=True)
    ]
    return Markup('<ul class="sheet" style="--columns: {}">{}</ul>').format(columns, Markup("\n").join(cells))


def _bars(shares: Sequence[tuple[str, float]]) -> Markup:
    if not shares:
        return Markup("")
    bars = [
        Markup('<li style="--share: {}%"><span>{}</span> <span>{}</span></li>').format(
            round(100 * share, 1), label, f"{share:.0%}"
        )
        for label, share in shares
    ]
    return Markup('<ul class="shares">{}</ul>').format(Markup("").join(bars))


def mosaic(
    images: Sequence[Picture], columns: int, alt: str, title: str = "", remark: str = "", side: int = 48
) -> Markup:
    """Tile pictures into one, with a bold title and a remark: many faces in little space.

    images: uint8 [h, w] grey or [h, w, 3] BGR; each is scaled into a square of `side` pixels, with its aspect ratio
    kept.
    """
    gap = 2
    rows = -(-len(images) // columns)
    # The gaps between the pictures are transparent.
    sheet = np.zeros((rows * (side + gap) - gap, columns * (side + gap) - gap, 4), np.uint8)
    for number, image in enumerate(images):
        tile = square(image, side)
        top, left = number // columns * (side + gap), number % columns * (side + gap)
        sheet[top : top + side, left : left + side, :3] = tile if tile.ndim == 3 else tile[..., None]
        sheet[top : top + side, left : left + side, 3] = 255
    words = Markup("<strong>{}</strong> {}").format(title, remark)
    return Markup(
        '<figure class="mosaic"><figcaption>{}</figcaption><img src="{}" width="{}" height="{}" alt="{}"></figure>'
    ).format(words, data_uri(sheet), sheet.shape[1], sheet.shape[0], alt)


def data_uri(image: Picture) -> str:
    """Encode a picture as a `data:` URI: grey or BGR as PNG if small, else as JPEG; BGRA as WebP."""
    if image.ndim == 3 and image.shape[2] == 4:
        kind, options = "webp", [cv2.IMWRITE_WEBP_QUALITY, _QUALITY]
    elif image.shape[0] * image.shape[1] <= _LOSSLESS:
        kind, options = "png", [cv2.IMWRITE_PNG_COMPRESSION, 9]
    else:
        kind, options = "jpeg", [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    _, packed = cv2.imencode(f".{kind}", image, options)
    return f"data:image/{kind};base64,{base64.b64encode(packed.tobytes()).decode('ascii')}"


def square(image: Picture, side: int) -> Picture:
    """Fit a picture, aspect ratio kept, into a mid-grey square: [side, side] or [side, side, 3]."""
    scale = side / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    if (height, width) == image.shape[:2] == (side, side):
        return image
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    out = np.full((side, side, *image.shape[2:]), 128, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    out[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=way)
    return out
