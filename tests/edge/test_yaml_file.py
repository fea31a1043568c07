"""YAML files written by users: which are refused, with which message, and how fast."""

import os
from pathlib import Path

import pytest

from edge.cli import main
from edge.config.yaml_file import BYTES_MAX, parse_text, parse_yaml, read_yaml
from edge.errors import EmotionEdgeError

BOMB = "web:\n  - &a0 [x, x]\n" + "".join(f"  - &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "has more than 20,000 values"),
        ("a: &a [*a]\n", "line 1: contains itself"),
        ("a: &a {b: *a}\n", "line 1: contains itself"),
        ("a: " + "[" * 5000, "is nested too deeply"),
        ("- " * 5000 + "x", "is nested too deeply"),
        ("x" * (BYTES_MAX + 1), "cannot be read: it has more than 100 kB"),
        ("a: 1\nb: 2\na: 3\n", "a is there twice, in lines 1 and 3"),
        ("a: {b: 1, b: 2}\n", "a.b is there twice, in lines 1 and 1"),
        ("- {user: x}\n- user: y\n  user: z\n", "user is there twice, in lines 2 and 3"),
        ("hush hush: 1\nhush hush: 2\n", "... is there twice, in lines 1 and 2"),
        ("? [1, 2]\n: 3\n", "is no YAML in line 1"),
        ("a: \0\n", "is no YAML: it has a character that may not be there, at position 3"),
        ("a: !!python/object:os.system x\n", "is no YAML in line 1"),
        ("a: [\n", "is no YAML in line 2"),
    ],
)
def test_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (path := tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(EmotionEdgeError) as caught:
        read_yaml(path, "settings file")
    said = str(caught.value).removeprefix(f"settings file {path}: ")
    assert said.startswith(message)
    assert "\n" not in said
    assert "hush" not in said


def test_lines_of_the_upper_keys(tmp_path: Path) -> None:
    (path := tmp_path / "config.yaml").write_bytes(b"\xef\xbb\xbfa:\n  b: {c: 1}\n\n  d: &d [1]\ne: *d\n")
    file = parse_yaml(path, "settings file")
    assert file.content == {"a": {"b": {"c": 1}, "d": [1]}, "e": [1]}
    assert file.lines == {("a",): 1, ("a", "b"): 2, ("a", "d"): 4, ("e",): 5}
    path.write_text("# nothing\n")
    assert (parse_yaml(path, "settings file").content, parse_yaml(path, "settings file").lines) == (None, {})


def test_whole_numbers_are_decimal_and_other_writings_of_them_are_text() -> None:
    text = "{a: 10, b: -3, c: 0, d: 0123, e: 12:30, f: 0x1F, g: 1_000}"
    assert parse_text(text, "here").content == {
        **{"a": 10, "b": -3, "c": 0, "d": "0123"},
        **{"e": "12:30", "f": "0x1F", "g": "1_000"},
    }


def test_a_file_that_is_not_in_utf_8_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes("camera: {fps: 10}".encode("utf-16"))
    with pytest.raises(EmotionEdgeError, match=r"config\.yaml: cannot be read: it is not in UTF-8: save it so$"):
        read_yaml(tmp_path / "config.yaml", "settings file")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    for path, message in ((pipe, "it is not a regular file"), (Path("/dev/zero"), "it is not a regular file")):
        with pytest.raises(EmotionEdgeError, match=message):
            read_yaml(path, "settings file")
    with pytest.raises(EmotionEdgeError, match=f"^settings file {tmp_path}: cannot be read: is a directory$"):
        read_yaml(tmp_path, "settings file")
    assert main(["check-config", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"emotion-edge: settings file {tmp_path}: is not a regular file\n"
