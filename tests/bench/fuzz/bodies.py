"""Bodies of requests to the prediction server's `predict`."""

import base64
import json
import random

import numpy as np

from tests.bench.fuzz.images import image
from tests.bench.fuzz.mutate import VALUES, altered, damaged

_ROWS = np.random.default_rng(0).integers(0, 256, (48, 48, 1)).tolist()


def body(chance: random.Random) -> bytes:
    """Make a request body that is odd, damaged or large."""
    kind = chance.random()
    if kind < 0.15:
        return _large(chance)
    instances = [chance.choice((_ROWS, {"image": _ROWS}, _file(chance), chance.choice(VALUES))) for _ in range(2)]
    tree = {"instances": instances, "signature_name": "serving_default"}
    for _ in range(chance.randint(1, 3)):
        tree = altered(tree, chance)
    text = json.dumps(tree).encode()
    return damaged(text, chance) if chance.random() < 0.3 else text


def _file(chance: random.Random) -> dict[str, str]:
    data = image(chance)[: 1 << 20]
    return {"b64": base64.b64encode(data).decode()}


def _large(chance: random.Random) -> bytes:
    """Make a body of 4 MB that repeats something small."""
    part = chance.choice(("[]", "{}", "0", "1.5", '"ab"', '{"a":0}', "null", "[[[]]]", '"\\u0000"', "1e400", "[" * 900))
    count = (4 << 20) // (len(part) + 1)
    return f'{{"instances": [{",".join([part] * count)}]}}'.encode()[: 4 << 20]
