"""Downloads with Kaggle's own client from an imitated Kaggle, and their errors."""

import importlib.util
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
    download(sys.argv[2] if len(sys.argv) > 2 else "kaggle:somebody/faces", Path(sys.argv[1]))
except EmotionEdgeError as error:
    sys.exit(f"refused: {error}")
"""


@dataclass
class Kaggle:
    """Imitates Kaggle's server.

    asked: bodies of the requests. status: HTTP status of the answers: an archive of fer2013.csv, or a refusal.
    """

    port: int = 0
    status: int = 200
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def kaggle() -> Iterator[Kaggle]:
    here = Kaggle()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("fer2013.csv", "emotion,pixels,Usage\n")
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as images:
            images.writestr("train/happy/1.jpg", "x")
        file.writestr("images/train.zip", inner.getvalue())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            here.asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if here.status == 200 and "Competition" in self.path:  # Kaggle redirects to its storage
                self.send_response(302)
                self.send_header("Location", "http://localhost/storage/archive.zip")
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.do_GET()

        def do_GET(self) -> None:
            content = archive.getvalue() if here.status == 200 else b"{}"
            self.send_response(here.status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here.port = server.server_address[1]
        threading.Thread(target=server.serve_forever).start()
        yield here
        server.shutdown()


def fetch(home: Path, server: Kaggle, *reference: str) -> "subprocess.CompletedProcess[str]":
    """Run the client with a token; a proxy leads its requests to the server."""
    proxy = f"http://127.0.0.1:{server.port}"
    plain = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    env = plain | {"HOME": str(home), "http_proxy": proxy, "KAGGLE_API_ENVIRONMENT": "LOCALHOST"}
    env |= {"KAGGLE_USERNAME": "somebody", "KAGGLE_KEY": "0" * 32}
    command = [sys.executable, "-c", PROGRAM, str(home / "data"), *reference]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_what_kaggle_sends_is_unpacked(tmp_path: Path, kaggle: Kaggle) -> None:
    done = fetch(tmp_path, kaggle)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["fer2013.csv", "images"]
    assert any('"somebody"' in body and '"faces"' in body for body in kaggle.asked)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "Kaggle does not take the token; make a token at https://www.kaggle.com/settings"),
        (403, "Kaggle refuses; accept the data set's terms on its page first"),
        (404, "Kaggle knows no such data set"),
    ],
)
def test_what_kaggle_refuses_is_said(tmp_path: Path, kaggle: Kaggle, status: int, reason: str) -> None:
    kaggle.status = status
    assert f"refused: kaggle:somebody/faces: {reason}" in fetch(tmp_path, kaggle).stderr


@pytest.mark.parametrize(
    "reference", ["kaggle:competitions/faces-2024", "https://www.kaggle.com/competitions/faces-2024/data"]
)
def test_all_files_of_a_competition_are_unpacked_with_the_archives_in_them(
    tmp_path: Path, kaggle: Kaggle, reference: str
) -> None:
    done = fetch(tmp_path, kaggle, reference)
    assert done.returncode == 0, done.stderr
    files = {str(file.relative_to(tmp_path / "data")) for file in (tmp_path / "data").rglob("*") if file.is_file()}
    assert files == {"fer2013.csv", "images/train/happy/1.jpg"}
    assert any('"faces-2024"' in body for body in kaggle.asked)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (403, "accept its rules at https://www.kaggle.com/competitions/faces-2024/rules"),
        (404, "Kaggle knows no competition 'faces-2024'"),
    ],
)
def test_a_competition_whose_rules_are_not_accepted_is_said(
    tmp_path: Path, kaggle: Kaggle, status: int, reason: str
) -> None:
    kaggle.status = status
    assert reason in fetch(tmp_path, kaggle, "kaggle:competitions/faces-2024").stderr


def refusal(home: Path, **settings: str) -> str:
    """Run a download in a process with home folder `home` and without network; returns its error message."""
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


def test_a_broken_key_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".kaggle" / "kaggle.json"
    file.parent.mkdir()
    for text, words in {"{": "cannot be read", '{"username": "somebody"}': "has no username and key in it"}.items():
        file.write_text(text)
        file.chmod(0o600)
        said = refusal(tmp_path)
        assert f"{file}: {words}" in said
        assert "no token for Kaggle" not in said


def test_a_token_of_today_s_kind_without_a_network_is_not_called_missing(tmp_path: Path) -> None:
    file = tmp_path / ".kaggle" / "access_token"
    file.parent.mkdir()
    file.write_text("KGAT_0123456789abcdef")
    file.chmod(0o600)
    assert "kaggle:somebody/faces: Kaggle cannot be reached" in refusal(tmp_path)
    file.unlink()
    assert "Kaggle cannot be reached" in refusal(tmp_path, KAGGLE_API_TOKEN="KGAT_0123456789abcdef")
