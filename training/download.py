"""A data set from Kaggle, with Kaggle's own client and the user's own token."""

import contextlib
import io
import logging
import re
import sys
from pathlib import Path
from typing import Any, Final

from edge.errors import EmotionEdgeError

TOKEN_HELP: Final = (
    "make a token at https://www.kaggle.com/settings (API, Create New Token); then put its kaggle.json into ~/.kaggle/ "
    "and let nobody else read it (chmod 600), or set KAGGLE_USERNAME and KAGGLE_KEY, or KAGGLE_API_TOKEN"
)

_REFERENCE = re.compile(r"kaggle:([\w-]+/[\w.-]+)", re.ASCII)
_log = logging.getLogger(__name__)


def download(reference: str, folder: Path) -> Path:
    """Fetch and unpack a data set into a folder, which is made where it is not there; gives the folder.

    reference: `kaggle:<owner>/<dataset>`, as in the data set's address. Raises EmotionEdgeError for another reference,
    where there is no token (and says how to get one), and where Kaggle cannot be reached or refuses.
    """
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise EmotionEdgeError(
            f"download {reference!r}: not kaggle:<owner>/<dataset>, the end of the data set's address on Kaggle"
        )
    if folder.exists() and not folder.is_dir():
        raise EmotionEdgeError(f"{folder}: a file; give a folder to unpack into")
    client = _client(reference)
    from requests import RequestException

    folder.mkdir(parents=True, exist_ok=True)
    _log.info("%s: fetching into %s", reference, folder)
    try:
        # What the client says of address, licence and progress is for people.
        with contextlib.redirect_stdout(sys.stderr):
            client.dataset_download_files(found[1], path=str(folder), quiet=False, unzip=True)
    except RequestException as error:
        status = 0 if error.response is None else error.response.status_code
        raise EmotionEdgeError(f"{reference}: {_REASONS.get(status, f'Kaggle cannot be reached ({error})')}") from None
    except (ValueError, OSError, RuntimeError) as error:
        raise EmotionEdgeError(f"{reference}: cannot be fetched into {folder}: {error}") from None
    return folder


_REASONS: Final = {
    401: f"Kaggle does not take the token; {TOKEN_HELP}",
    403: "Kaggle refuses; accept the data set's terms on its page first, and look at its name",
    404: "Kaggle knows no such data set",
}


def _client(reference: str) -> Any:
    """Kaggle's client with the user's token."""
    # Kaggle's package looks for the token as it is imported, and where there is none prints and exits.
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from kaggle.api.kaggle_api_extended import KaggleApi

            client = KaggleApi()
            client.authenticate()
    except ImportError:
        raise EmotionEdgeError(
            f"{reference}: Kaggle's client is not installed: pip install 'emotion-edge[training]'"
        ) from None
    except (SystemExit, OSError, ValueError) as error:
        why = "" if isinstance(error, SystemExit) else f" ({error})"
        raise EmotionEdgeError(f"{reference}: no token for Kaggle{why}; {TOKEN_HELP}") from None
    return client
