"""Generates damaged and hostile model cards and archives, reproducibly by seed, and reads them."""

import copy
import io
import json
import random
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np

from edge.config import Settings
from edge.emotion.local import LocalClassifier
from edge.errors import EmotionEdgeError
from edge.model_updates.archive import unpack_model
from edge.models.card import CARD_FILE, MODEL_FILE, EmotionCard, read_any_card
from edge.models.released import model_dir
from edge.models.runtime import choose
from edge.reading import Box

RELEASED: Final = model_dir(Settings().emotion.model)

ODD_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 1, 7, 300, 2**31, 2**63, 10**400, 1e9, -1e308, 1e-320, float("nan"), float("inf"), "", "x"),
    *(
        "\x1b[2J\x1b]0;owned\x07",
        "\u202e",
        "ü" * 200,
        "x" * 100_000,
        [],
        {},
        [[]],
        ["happy"] * 9,
        {"a": {"b": []}},
        "NaN",
    ),
)


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from _places(inner, (*at, key))


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Damage data: overwrite, cut off, repeat or insert some bytes."""
    content = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        where = chance.randrange(len(content) or 1)
        match chance.randrange(4):
            case 0 if content:
                content[where] = chance.randrange(256)
            case 1:
                del content[where : where + chance.randint(1, 1 + len(content) // 4)]
            case 2:
                content[where:where] = bytes([chance.choice((0, 255, 0x7F, 0x80))]) * chance.randint(1, 16)
            case _:
                content[where:where] = content[where : where + 64]
    return bytes(content)


def card_mutants(seed: int, count: int) -> Iterator[bytes]:
    """Yield contents of a card.json with odd values, missing fields or damaged text."""
    chance = random.Random(seed)
    card = json.loads((RELEASED / CARD_FILE).read_text()) | {"metrics": []}
    places = list(_places(card))
    for _ in range(count):
        mutant = copy.deepcopy(card)
        for _ in range(chance.randint(1, 3)):
            inner, place = mutant, chance.choice(places)
            try:
                for key in place[:-1]:
                    inner = inner[key]
                if chance.random() < 0.2:
                    del inner[place[-1]]
                else:
                    inner[place[-1]] = chance.choice(ODD_VALUES)
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change removed this place
        text = json.dumps(mutant).encode()
        yield damaged(text, chance) if chance.random() < 0.2 else text
    yield b"[" * 100_000
    yield b'{"outputs": ' * 50_000


def archive_mutants(seed: int, count: int) -> Iterator[bytes]:
    """Yield damaged archives of the released model in every format, and decompression bombs of each."""
    chance = random.Random(seed)
    whole = [*map(_tar, ("", "gz", "bz2", "xz")), _zip(zipfile.ZIP_DEFLATED), _zip(zipfile.ZIP_STORED)]
    for number in range(count):
        yield damaged(whole[number % len(whole)], chance)
    yield from bombs()


def bombs() -> Iterator[bytes]:
    """Yield small archives that unpack to hundreds of megabytes, or whose headers claim so."""
    for kind, name, type_ in (
        ("xz", MODEL_FILE, tarfile.REGTYPE),
        ("gz", "other.bin", tarfile.REGTYPE),
        ("gz", "x", tarfile.XHDTYPE),
    ):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=f"w:{kind}", **{"preset" if kind == "xz" else "compresslevel": 1}) as tar:  # type: ignore[call-overload]
            member = tarfile.TarInfo(name)
            member.type, member.size = type_, 250_000_000
            tar.addfile(member, cast(IO[bytes], _Zeros()))
        yield out.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(MODEL_FILE, bytes(100_000_000))
    yield out.getvalue()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(30_000):
            archive.writestr(f"{number}.md", "")
    yield out.getvalue()


BOMBS: Final = 5


class _Zeros:
    """An endless file of zeros."""

    def read(self, size: int) -> bytes:
        return bytes(size)


def _tar(kind: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{kind}") as tar:  # type: ignore[call-overload]
        tar.add(RELEASED, "model")
    return out.getvalue()


def _zip(compression: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for file in RELEASED.iterdir():
            archive.write(file, f"model/{file.name}")
    return out.getvalue()


def try_card(content: bytes) -> str:
    """Read and run a card; returns `runs` or the one-line error. Any other exception is not caught."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / MODEL_FILE).symlink_to(RELEASED / MODEL_FILE)
        (folder / CARD_FILE).write_bytes(content)
        try:
            card = read_any_card(folder)
            if isinstance(card, EmotionCard):
                classify = LocalClassifier(folder, choose())
                scores = classify(np.zeros((480, 640, 3), np.uint8), [Box(100, 100, 80, 90), Box(-50, -50, 700, 600)])
                assert scores.probabilities.shape == (2, len(card.primary.labels))
        except EmotionEdgeError as error:
            return str(error).replace(name, "FOLDER")
    return "runs"


def try_archive(content: bytes) -> str:
    """Unpack an archive; returns `unpacked` or the one-line error. Any other exception is not caught."""
    with tempfile.TemporaryDirectory() as name:
        source, into = Path(name) / "archive", Path(name) / "into"
        source.write_bytes(content)
        into.mkdir()
        try:
            unpack_model(source, into)
        except EmotionEdgeError as error:
            return str(error).replace(name, "FOLDER")
        assert all(file.is_file() and not file.is_symlink() for file in into.iterdir())
    return "unpacked"
