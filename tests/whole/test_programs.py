"""What the four programs have in common on the command line."""

from collections.abc import Callable, Sequence

import pytest

import deploy.cli
import edge.cli
import quantize.cli
import training.cli

Main = Callable[[Sequence[str] | None], int]
HOSTILE = "nowhere\x1b[2J\x9b31m\udcff"
"""As a file's name: escape codes of terminals, and a byte that is not UTF-8."""

MAINS: list[tuple[Main, list[str]]] = [
    (edge.cli.main, ["check-config", HOSTILE]),
    (training.cli.main, ["fit", HOSTILE]),
    (quantize.cli.main, ["show", HOSTILE]),
    (deploy.cli.main, ["status", "--inventory", HOSTILE]),
]


@pytest.mark.parametrize(("main", "arguments"), MAINS)
def test_no_control_character_of_a_name_reaches_the_terminal(
    main: Main, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert "nowhere\\x1b[2J\\x9b31m\\xff" in printed
    assert printed.count("\n") == 1
    assert printed.strip().isprintable()


@pytest.mark.parametrize(("main", "arguments"), MAINS)
def test_ctrl_c_and_a_system_error_are_no_traceback(
    main: Main, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "runs/one")

    parse = "argparse.ArgumentParser.parse_known_args"
    monkeypatch.setattr(parse, interrupted)
    assert main(arguments) == 130
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(parse, full)
    assert main(arguments) == 2
    assert "runs/one: no space left on device" in capsys.readouterr().err
