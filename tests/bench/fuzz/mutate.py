"""Ways to damage bytes, and values that programs stumble over."""

import random
from collections.abc import Sequence
from typing import Any, Final

NUMBERS: Final[Sequence[int]] = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0)

VALUES: Final[Sequence[Any]] = (
    None, True, False, 0, -1, 1, 2, 3, 47, 48, 49, 255, 256, 300, 65536, 2**31, 2**63, 2**64, 10**30, 10**400, 0.5,
    -0.0, 1e-300, 1e9, 1e300, float("nan"), float("inf"), float("-inf"), "", " ", "0", "nan", "on", "x" * 10_000, "\0",
    "\x1b[2J", "\ud800", "é" * 50, "../../etc/passwd", "/dev/zero", "%s%n", "1" * 5000, [], {}, [[]], [[[]]],
    [0] * 1000, {"a": 1}, {"": {}}, {"b64": ""}, {"b64": "AAAA"}, {"b64": None}, ["x" * 1000] * 10,
)  # fmt: skip


def damaged(data: bytes, chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Apply one to four kinds of damage to bytes. others: files whose parts may be mixed in."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if not out:
            return bytes(out)
        at = chance.randrange(len(out))
        match chance.randrange(8):
            case 0:
                del out[at:]
            case 1:
                for _ in range(chance.randint(1, 16)):
                    out[chance.randrange(len(out))] = chance.randrange(256)
            case 2:
                out[at : at + 4] = chance.choice(NUMBERS).to_bytes(4, chance.choice(("big", "little")))
            case 3:
                out[at : at + 2] = (chance.choice(NUMBERS) & 0xFFFF).to_bytes(2, chance.choice(("big", "little")))
            case 4:
                out[at:at] = out[at : at + chance.randint(1, 64)] * chance.randint(1, 200)
            case 5:
                del out[at : at + chance.randint(1, 64)]
            case 6:
                out[at:at] = b"\xff" + bytes([chance.randrange(256)])
            case _:
                other = chance.choice([*others, data])
                begin = chance.randrange(len(other))
                out[at:at] = other[begin : begin + chance.randint(1, 256)]
    return bytes(out)


def altered(tree: Any, chance: random.Random, values: Sequence[Any] = VALUES) -> Any:
    """Copy a tree of dicts and lists with one value replaced, or a key removed, duplicated or added."""
    if isinstance(tree, dict) and tree and chance.random() < 0.85:
        copy = dict(tree)
        key = chance.choice(list(copy))
        match chance.randrange(10):
            case 0:
                del copy[key]
            case 1:
                copy[str(chance.choice(values))[:50]] = chance.choice(values)
            case _:
                copy[key] = altered(copy[key], chance, values)
        return copy
    if isinstance(tree, list) and tree and chance.random() < 0.85:
        copy_ = list(tree)
        at = chance.randrange(len(copy_))
        match chance.randrange(10):
            case 0:
                del copy_[at]
            case 1:
                copy_ += copy_[at : at + 1] * chance.choice((1, 2, 100))
            case _:
                copy_[at] = altered(copy_[at], chance, values)
        return copy_
    return chance.choice(values)
