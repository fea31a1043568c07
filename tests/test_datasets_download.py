"""Refusals of the download from Kaggle, with Kaggle's own client; a download itself needs somebody's token."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.errors import EmotionEdgeError
from training.download import download

if importlib.util.find_spec("kaggle") is None:
    pytest.skip("Kaggle's client is not installed", allow_module_level=True)

PROGRAM = """
import sys
from pathlib import Path
from edge.errors import EmotionEdgeError
from training.download import download
try:
    download("kaggle:somebody/faces", Path(sys.argv[1]))
except EmotionEdgeError as error:
    sys.exit(f"refused: {error}")
"""


def refusal(home: Path, **settings: str) -> str:
    """What a process of its own says, whose home is `home`, and whose way to the net ends at a closed port."""
    nowhere = "http://127.0.0.1:9"
    plain = {name: value for name, value in os.environ.items() if not name.upper().startswith(("KAGGLE", "NO_PROXY"))}
    env = plain | {"HOME": str(home), "HTTPS_PROXY": nowhere, "https_proxy": nowhere} | settings
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(home / "data")], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    return done.stderr[done.stderr.index("refused: ") :]


def test_without_a_token_it_says_where_to_get_one_and_where_to_put_it(tmp_path: Path) -> None:
    said = refusal(tmp_path)
    assert "kaggle:somebody/faces: no token for Kaggle" in said
    for word in ("https://www.kaggle.com/settings", "~/.kaggle/", "KAGGLE_USERNAME and KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        assert word in said
    assert not (tmp_path / "data").exists()


def test_without_a_network_it_says_so(tmp_path: Path) -> None:
    token = tmp_path / ".kaggle" / "kaggle.json"
    token.parent.mkdir()
    token.write_text(json.dumps({"username": "somebody", "key": "0" * 32}))
    token.chmod(0o600)
    assert "kaggle:somebody/faces: Kaggle cannot be reached" in refusal(tmp_path)


@pytest.mark.parametrize("reference", ["faces", "kaggle:faces", "kaggle:a/b/c", "kaggle:../b c", "zenodo:a/b"])
def test_another_reference_is_refused(tmp_path: Path, reference: str) -> None:
    with pytest.raises(EmotionEdgeError, match="not kaggle:<owner>/<dataset>"):
        download(reference, tmp_path)


def test_a_file_is_no_folder_to_unpack_into(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmotionEdgeError, match="file: a file; give a folder"):
        download("kaggle:somebody/faces", tmp_path / "file")
