"""Downloads a data set or the files of a competition from Kaggle, with Kaggle's own client and the user's token."""

import contextlib
import io
import json
import logging
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

from edge.errors import EmotionEdgeError
from edge.system.program import unescaped

TOKEN_HELP: Final = (
    "make a token at https://www.kaggle.com/settings (API Tokens, Generate New Token); then put it into "
    "~/.kaggle/access_token and let nobody else read that (chmod 600), or set KAGGLE_API_TOKEN; an older kaggle.json "
    "in ~/.kaggle/, or KAGGLE_USERNAME and KAGGLE_KEY, will do too"
)

_REFERENCE = re.compile(r"kaggle:([\w-]+)/([\w.-]+)", re.ASCII)
_ADDRESS = re.compile(r"https://(?:www\.)?kaggle\.com/(?:datasets/)?([\w-]+)/([\w.-]+)(?:/\w*)?", re.ASCII)
_COMPETITIONS = ("competitions", "c")
"""Path components of a competition's address on Kaggle, in place of the owner of a data set."""
_log = logging.getLogger(__name__)


def download(reference: str, folder: Path) -> Path:
    """Fetch and unpack a data set, or all files of a competition, into a folder, created if missing; returns it.

    Archives inside the archive are unpacked too, each into the folder it is in.

    Args:
        reference: `kaggle:<owner>/<dataset>`, `kaggle:competitions/<name>`, or the address on Kaggle.
        folder: Where to unpack.

    Raises:
        EmotionEdgeError: The reference has another form, there is no token (the message says how to get one), or Kaggle
            cannot be reached or refuses.
    """
    found = _REFERENCE.fullmatch(reference) or _ADDRESS.fullmatch(reference)
    if found is None:
        raise EmotionEdgeError(
            f"download {reference!r}: not kaggle:<owner>/<dataset> nor kaggle:competitions/<name>, the end of the "
            "address on Kaggle"
        )
    if folder.exists() and not folder.is_dir():
        raise EmotionEdgeError(f"{folder}: a file; give a folder to unpack into")
    client = _client(reference)
    from requests import RequestException

    owner, name = found.groups()
    folder.mkdir(parents=True, exist_ok=True)
    _log.info("%s: fetching into %s", reference, folder)
    try:
        # The client's address, licence and progress are printed for the user.
        stderr = unescaped(sys.stderr)  # for its progress bar
        with contextlib.redirect_stdout(stderr), contextlib.redirect_stderr(stderr):
            if owner in _COMPETITIONS:
                client.competition_download_files(name, path=str(folder), quiet=False)
                # The client names the file after the address to which Kaggle redirects.
                for file in folder.glob(f"{name}.*"):
                    if zipfile.is_zipfile(file):
                        _unpack(file)
            else:
                client.dataset_download_files(f"{owner}/{name}", path=str(folder), quiet=False, unzip=True)
    except RequestException as error:
        raise EmotionEdgeError(f"{reference}: {_reason(error, owner, name)}") from None
    except (ValueError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise EmotionEdgeError(f"{reference}: cannot be fetched into {folder}: {error}") from None
    return folder


def _unpack(archive: Path) -> None:
    """Unpack a zip and the zips in it, and remove each. zipfile keeps names such as `../x` inside the folder."""
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
        file.extractall(archive.parent)
    archive.unlink()
    for name in names:
        inner = archive.parent / name
        if inner.suffix.lower() == ".zip" and zipfile.is_zipfile(inner):
            _unpack(inner)


_REASONS: Final = {
    401: f"Kaggle does not take the token; {TOKEN_HELP}",
    403: "Kaggle refuses; accept the data set's terms on its page first, and look at its name",
    404: "Kaggle knows no such data set",
}


def _reason(error: Any, owner: str = "", name: str = "") -> str:
    """Describe why a request failed. error: a `requests.RequestException`."""
    status = 0 if error.response is None else error.response.status_code
    if owner in _COMPETITIONS and status == 403:
        return (
            f"Kaggle refuses; join the competition and accept its rules at https://www.kaggle.com/competitions/{name}"
            "/rules (Join Competition; some ask for a verified phone number), then repeat this command"
        )
    if owner in _COMPETITIONS and status == 404:
        return f"Kaggle knows no competition {name!r}; its name is the end of its address"
    return _REASONS.get(status, f"Kaggle cannot be reached ({error})")


def _client(reference: str) -> Any:
    """Create Kaggle's client with the user's token. Raises EmotionEdgeError if there is none or it is refused."""
    _check_key_file(reference)
    try:
        from requests import RequestException
    except ImportError:
        raise _not_installed(reference) from None
    # Kaggle's package looks for the token at import, and if there is none prints a message and exits.
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from kaggle.api.kaggle_api_extended import KaggleApi

            client = KaggleApi()
            client.authenticate()
    except ImportError:
        raise _not_installed(reference) from None
    except RequestException as error:  # a new token is looked up over the network
        raise EmotionEdgeError(f"{reference}: {_reason(error)}") from None
    except (SystemExit, OSError, ValueError) as error:
        why = "" if isinstance(error, SystemExit) else f" ({error})"
        if token := _new_token():
            raise EmotionEdgeError(f"{reference}: Kaggle does not take the token in {token}; {TOKEN_HELP}") from None
        raise EmotionEdgeError(f"{reference}: no token for Kaggle{why}; {TOKEN_HELP}") from None
    return client


def _not_installed(reference: str) -> EmotionEdgeError:
    return EmotionEdgeError(f"{reference}: Kaggle's client is not installed: pip install 'emotion-edge[training]'")


def _new_token() -> str:
    """Return where a token of the current kind was found, searched in the order of Kaggle's client; "" if nowhere."""
    if os.environ.get("KAGGLE_API_TOKEN"):
        return "KAGGLE_API_TOKEN"
    files = (Path.home() / ".kaggle" / name for name in ("access_token", "access_token.txt"))
    return next((str(file) for file in files if file.is_file()), "")


def _check_key_file(reference: str) -> None:
    """Raise EmotionEdgeError if the kaggle.json that would be used is not in Kaggle's format."""
    if _new_token() or all(os.environ.get(name) for name in ("KAGGLE_USERNAME", "KAGGLE_KEY")):
        return
    folders = (os.environ.get("KAGGLE_CONFIG_DIR"), Path.home() / ".kaggle", Path.home() / ".config" / "kaggle")
    file = next((path for folder in folders if folder and (path := Path(folder, "kaggle.json")).is_file()), None)
    if file is None:
        return
    try:
        keys = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise EmotionEdgeError(f"{reference}: {file}: cannot be read ({error}); {TOKEN_HELP}") from None
    if not isinstance(keys, dict) or not all(keys.get(name) for name in ("username", "key")):
        raise EmotionEdgeError(f"{reference}: {file}: has no username and key in it; {TOKEN_HELP}")
