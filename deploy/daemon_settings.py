"""Settings of the daemon that a site file or a settings file for a board holds, checked as the daemon checks them."""

import tempfile
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from edge.config import load as config_load
from edge.errors import EmotionEdgeError


def check_settings(settings: Mapping[str, Any], where: str) -> None:
    """Check settings with the daemon's own loader. Raises EmotionEdgeError, whose message begins with `where`."""
    parser = ArgumentParser()
    config_load.add_flags(parser)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.touch(mode=0o600)
        file.write_text(dump_settings(settings), encoding="utf-8")
        try:
            config_load.load(parser.parse_args(["--config", str(file)]))
        except EmotionEdgeError as error:
            raise EmotionEdgeError(str(error).replace(f"settings file {file}", where)) from None


def dump_settings(settings: Mapping[str, Any]) -> str:
    """The settings as YAML, as the daemon's settings file holds them."""
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True) if settings else ""
