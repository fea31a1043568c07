"""Finds exact and near duplicates among images, and selects which of them to keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Indexes = npt.NDArray[np.int64]
Thumbnails = npt.NDArray[np.uint8]

HASH_DISTANCE: Final = 8
"""Most bits, of 64, in which the perceptual hashes of two near duplicates differ."""
LIKENESS: Final = 0.90
"""Least correlation of the pixels of two thumbnails that show the same picture.

Of 120 pairs of FER-2013 inspected near HASH_DISTANCE and LIKENESS, 116 were one picture: recropped, recompressed, with
or without a watermark.
"""
LIKENESS_DESPITE_LABELS: Final = 0.99
"""Least correlation of two thumbnails with different labels that are taken for one picture: no more than recompression
changes, as two photographs of a person with two expressions are similar too.
"""

_BLOCK_BYTES: Final = 1 << 27


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of near duplicates.

    first, second: indexes of the images of each pair, int64 [k]. likeness: correlation, float32 [k]. mirrored: whether
    one is the mirror image of the other, bool [k].
    """

    first: Indexes
    second: Indexes
    likeness: npt.NDArray[np.float32]
    mirrored: npt.NDArray[np.bool_]

    def take(self, mask: npt.NDArray[np.bool_]) -> "Pairs":
        """Select pairs by a mask, bool [k]."""
        return Pairs(self.first[mask], self.second[mask], self.likeness[mask], self.mirrored[mask])


def exact_groups(digests: Sequence[bytes]) -> list[Indexes]:
    """Group pixel-identical images (two or more with one digest), in order of appearance."""
    found: dict[bytes, list[int]] = {}
    for i, digest in enumerate(digests):
        found.setdefault(digest, []).append(i)
    return [np.array(group, np.int64) for group in found.values() if len(group) > 1]


def near_pairs(thumbnails: Thumbnails) -> Pairs:
    """Find all pairs of images that are near duplicates, upright or mirrored.

    Candidates are pairs whose perceptual hashes (ImageHash's phash, 64 bits) differ in at most HASH_DISTANCE bits. With
    bits written as -1 and 1, their scalar product is 64 - 2 * distance, so one matrix product finds all candidates
    (seconds for 36,000 images). A candidate is a near duplicate if the correlation of the thumbnails is at least
    LIKENESS.

    Args:
        thumbnails: Grey uint8 [n, h, w], none of them blank.
    """
    if not len(thumbnails):
        none = np.empty(0, np.int64)
        return Pairs(none, none, none.astype(np.float32), none.astype(np.bool_))
    hashes, mirrored = _hashes(thumbnails), _hashes(thumbnails[:, :, ::-1])
    parts = []
    step = max(1, _BLOCK_BYTES // (4 * len(hashes)))
    for other, flip in ((hashes, False), (mirrored, True)):
        for start in range(0, len(hashes), step):
            product = hashes[start : start + step] @ other[start:].T
            first, second = (found + start for found in np.nonzero(product >= hashes.shape[1] - 2 * HASH_DISTANCE))
            upper = first < second
            parts.append(_confirmed(thumbnails, first[upper], second[upper], flip))
    return Pairs(
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.second for part in parts]),
        np.concatenate([part.likeness for part in parts]),
        np.concatenate([part.mirrored for part in parts]),
    )


def _hashes(thumbnails: Thumbnails) -> npt.NDArray[np.float32]:
    """Perceptual hash of each thumbnail as values -1 and 1, [n, 64]."""
    import imagehash
    from PIL import Image

    bits = [imagehash.phash(Image.fromarray(np.ascontiguousarray(image))).hash.ravel() for image in thumbnails]
    return np.array(bits, np.float32).reshape(-1, 64) * 2 - 1


def _confirmed(thumbnails: Thumbnails, first: Indexes, second: Indexes, mirrored: bool) -> Pairs:
    likeness = np.empty(len(first), np.float32)
    for start in range(0, len(first), 4096):
        part = slice(start, start + 4096)
        other = thumbnails[second[part]]
        likeness[part] = (_normed(thumbnails[first[part]]) * _normed(other[:, :, ::-1] if mirrored else other)).sum(1)
    alike = likeness >= LIKENESS
    return Pairs(first[alike], second[alike], likeness[alike], np.full(alike.sum(), mirrored))


def _normed(images: Thumbnails) -> npt.NDArray[np.float32]:
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    return flat


def conflicts(first: Indexes, second: Indexes, labels: Indexes) -> npt.NDArray[np.bool_]:
    """Which pairs have two different labels, bool [k]. first, second: int64 [k]. labels: int64 [n], -1 for none."""
    one, other = labels[first], labels[second]
    return np.asarray((one >= 0) & (other >= 0) & (one != other), np.bool_)


def copies(first: Indexes, second: Indexes, rank: Indexes) -> dict[int, int]:
    """Choose images to omit so that no pair remains; each is mapped to the kept image that it duplicates.

    first, second: indexes of the images of each pair. rank: int64 [n]; of a pair the image with the higher rank is
    kept, at equal rank the first.
    """
    partners: dict[int, list[int]] = {}
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        partners.setdefault(one, []).append(other)
        partners.setdefault(other, []).append(one)
    kept: set[int] = set()
    left_out: dict[int, int] = {}
    for i in sorted(partners, key=lambda i: (-rank[i], i)):
        original = next((other for other in partners[i] if other in kept), None)
        if original is None:
            kept.add(i)
        else:
            left_out[i] = original
    return left_out


def together(first: Indexes, second: Indexes, people: Indexes) -> Indexes:
    """Group number of each image, int64 [n]: images connected by pairs or people share one; -1 if not connected.

    Args:
        first: Index of the first image of each pair.
        second: Index of the second image of each pair.
        people: Person number of each image, int64 [n], or -1.
    """
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    if not len(first):
        return people
    # Each image of a person is paired with the person's first image, so that all are connected.
    known = np.flatnonzero(people >= 0)
    _, earliest, who = np.unique(people[known], return_index=True, return_inverse=True)
    ones, others = np.concatenate([first, known[earliest[who]]]), np.concatenate([second, known])
    graph = coo_array((np.ones(len(ones), np.bool_), (ones, others)), (len(people), len(people)))
    _, group = connected_components(graph, directed=False)
    alone = np.bincount(group)[group] == 1
    return np.where(alone & (people < 0), -1, group).astype(np.int64)
