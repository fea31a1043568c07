"""Randomly damaged settings files give settings or a one-line error, never a traceback."""

import random
from argparse import ArgumentParser
from pathlib import Path
from typing import Final

from edge.config import load as config_load
from edge.errors import EmotionEdgeError
from tests.conftest import ROOT

FILES: Final = 300
PIECES: Final = (
    *(
        b"*a",
        b"&a ",
        b"[",
        b"{",
        b"]",
        b"}",
        b": ",
        b"\n",
        b"- ",
        b"? ",
        b"'",
        b'"',
        b"|\n",
        b"%",
        b"@",
        b"<<: ",
        b"\t",
        b"~",
    ),
    *(
        b"!!python/object:os.system ",
        b"!!binary aGk=",
        b"!!set {a,b}",
        b"!!omap [a: 1]",
        b"2001-12-14t21:59:43.10-05:00",
    ),
    *(
        b"\0",
        b"\xff",
        b"\xe2\x80\xa8",
        b"\xef\xbb\xbf",
        b"1e400",
        b".nan",
        b"-.inf",
        b"2026-13-45",
        b"9" * 5000,
        b"1:1:1",
    ),
    *(b"yes", b"0x", b"[" * 160, b"a: " * 50, b"mqtt: {host: x}\n"),
)


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Damage a file's content: insert, remove, overwrite or repeat some pieces."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 8)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(4):
            case 0:
                data[at:at] = draw.choice(PIECES)
            case 1:
                del data[at : at + draw.randint(1, 30)]
            case 2:
                data[at : at + 1] = bytes([draw.randrange(256)])
            case _:
                data[at:at] = data[at // 2 : at]
    return bytes(data)


def test_damaged_files_make_one_line_of_error_each(tmp_path: Path) -> None:
    draw, parser, file = random.Random(7), ArgumentParser(), tmp_path / "config.yaml"
    config_load.add_flags(parser)
    whole = (ROOT / "systemd" / "config.yaml").read_bytes()
    short = b"".join(line for line in whole.splitlines(keepends=True) if b"#" not in line)
    refused = 0
    for number in range(FILES):
        file.write_bytes(damaged(draw, (whole, short)[number % 2]))
        try:
            config_load.dump(config_load.load(parser.parse_args(["--config", str(file)])))
        except EmotionEdgeError as error:
            refused += 1
            lines = str(error).split("\nemotion-edge: ")
            assert all("\n" not in line and len(line) < 600 for line in lines), file.read_bytes()
    assert refused > FILES / 4
