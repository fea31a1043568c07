"""Runs the commands that make a test board."""

import subprocess
from pathlib import Path

from edge.errors import EmotionEdgeError


def run(*command: str, cwd: Path | None = None, data: bytes | None = None) -> bytes:
    """Run a command; returns its output. Raises EmotionEdgeError with the end of its messages where it fails."""
    result = subprocess.run(command, cwd=cwd, input=data, capture_output=True, check=False)
    if result.returncode:
        tail = result.stderr.decode(errors="replace").strip()[-2000:]
        raise EmotionEdgeError(f"{command[0]}: status {result.returncode}: {tail}")
    return result.stdout
