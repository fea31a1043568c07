"""Draws boxes and tags of faces: the emotion's word and its confidence as a bar, at the edge of the face's box."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.outputs.drawing.colours import Colour, bgr
from edge.outputs.drawing.layers import DARK, Layer, blend, paint, panel
from edge.outputs.drawing.sizes import Sizes
from edge.outputs.drawing.text import margin, render_text
from edge.reading import Box, Face, Image
from edge.translations import Words, capitalised, label_text

EMPTY: Final[Colour] = (50, 46, 44)
"""Colour of the part of a confidence bar that is not filled."""

_ARC: Final = np.linspace(0, math.pi / 2, 7) + np.arange(4)[:, None] * math.pi / 2
_ARCS: Final = np.stack([np.cos(_ARC), np.sin(_ARC)], axis=-1)
"""The four quarters of a unit circle, clockwise from the right: float [4, points, 2]."""

_SMALLEST_WORD: Final = 0.7
"""Smallest height of a word's capitals in units of `Sizes.text`; a face without room for it gets only a bar."""

_WIDEST: Final = 1.5
"""Largest width of a tag, in widths of the face's box."""

_STEPS: Final = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4)
"""Sizes of a word to try, as factors on the largest: few, so that few layers are rendered and cached."""


@dataclass(frozen=True, slots=True)
class _Rect:
    """A rectangle in whole pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def overlaps(self, other: "_Rect") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def draw_faces(image: Image, under: Image, faces: Sequence[tuple[Face, Box]], sizes: Sizes, words: Words) -> None:
    """Draw each face's box and tag in place. No tag covers another face's box or another tag.

    Args:
        image: BGR uint8 [H, W, 3].
        under: the frame before anything was drawn on it, at least as high as the image.
        faces: each with its box in pixels of `image`.
        sizes: of `image`.
        words: the emotions in the viewer's language.
    """
    rects = [_Rect(round(b.x), round(b.y), round(b.x + b.width), round(b.y + b.height)) for _, b in faces]
    for face, box in faces:
        _draw_box(image, face, box, sizes)
    taken: list[_Rect] = []
    # The largest face chooses its place first.
    for index in sorted(range(len(faces)), key=lambda index: -faces[index][1].area):
        face, box = faces[index]
        others = [*(rect for at, rect in enumerate(rects) if at != index), *taken]
        found = _place(_tags(face, box, sizes, words), box, others, image.shape[1], image.shape[0], sizes)
        if found:
            tag, at = found
            taken.append(at)
            blend(image, tag, at.left, at.top, under[: image.shape[0]])
            _draw_bar(image, face, at, sizes)


def _tags(face: Face, box: Box, sizes: Sizes, words: Words) -> Iterator[Layer]:
    """Yield the tags to try, the best first: the word as large as the face allows, then smaller, then only the bar."""
    word = capitalised(label_text(face.emotion, words))
    smallest = max(7, round(sizes.text * _SMALLEST_WORD))
    widest = max(box.width * _WIDEST, 4 * sizes.space)
    for capital in dict.fromkeys(max(smallest, round(sizes.word * step)) for step in _STEPS):
        tag = _tag(word, capital, sizes)
        if tag.width <= widest:
            yield tag
    yield _tag("", max(1, round(box.width)), sizes)


@lru_cache(maxsize=128)
def _tag(word: str, capital: int, sizes: Sizes) -> Layer:
    """Render a tag: a panel with a word and room for the bar; without a word, only a bar of `capital` pixels."""
    pad, bar = max(2, round(capital * 0.4)), bar_height(sizes)
    if not word:
        return panel(capital, bar + 2, 0)
    name = render_text(word, capital, "bold")
    descent = round(capital * 0.32)
    tag = panel(name.shape[1] + 2 * pad, pad + capital + descent + bar + 2, min(pad, sizes.space))
    paint(tag, name, pad, pad - margin(capital))
    return tag


def bar_height(sizes: Sizes) -> int:
    """Height of a confidence bar."""
    return max(3, round(sizes.space * 0.6))


def _place(
    tags: Iterator[Layer], box: Box, others: Sequence[_Rect], width: int, height: int, sizes: Sizes
) -> tuple[Layer, _Rect] | None:
    """Return the first tag and place inside the image that overlap none of the others; None if there is none.

    Places touch the box: above it, below it, then inside its lower and upper edge.
    """
    gap = sizes.stroke // 2 + 1
    for tag in tags:
        inside = tag.width <= box.width and tag.height <= box.height / 3
        tops = [round(box.y) - gap - tag.height, round(box.y + box.height) + gap]
        if inside:
            tops += [min(round(box.y + box.height), height) - gap - tag.height, max(round(box.y), 0) + gap]
        for top in tops:
            for left in (round(box.x) - gap // 2, round(box.x + box.width) + gap // 2 - tag.width):
                left = max(0, min(left, width - tag.width))
                at = _Rect(left, top, left + tag.width, top + tag.height)
                if top >= 0 and at.bottom <= height and at.right <= width and not any(map(at.overlaps, others)):
                    return tag, at
    return None


def _draw_bar(image: Image, face: Face, at: _Rect, sizes: Sizes) -> None:
    """Draw the confidence bar along the lower edge of a tag, filled from the left."""
    bar = bar_height(sizes)
    left, right, top = at.left + 1, at.right - 1, at.bottom - bar - 1
    filled = round((right - left) * min(1.0, max(0.0, face.confidence)))
    image[top : top + bar, left:right] = EMPTY
    image[top : top + bar, left : left + filled] = bgr(face.emotion)


def _outline(box: Box, radius: float) -> npt.NDArray[np.int32]:
    """Return the corners of a rounded rectangle, int32 [n, 1, 2], in 1/8 pixels."""
    left, top, right, bottom = box.x + radius, box.y + radius, box.x + box.width - radius, box.y + box.height - radius
    corners = np.array(((right, bottom), (left, bottom), (left, top), (right, top)))
    return np.asarray(np.rint((corners[:, None] + radius * _ARCS) * 8), np.int32).reshape(-1, 1, 2)


def _draw_box(image: Image, face: Face, box: Box, sizes: Sizes) -> None:
    # A small face gets a thinner line.
    stroke = max(2, min(sizes.stroke, round(box.width / 24)))
    outline = _outline(box, min(box.width / 4, box.height / 4, 2 * sizes.space))
    cv2.polylines(image, [outline], True, DARK, stroke + 2, cv2.LINE_AA, shift=3)
    cv2.polylines(image, [outline], True, bgr(face.emotion), stroke, cv2.LINE_AA, shift=3)
