"""A client of TensorFlow Serving's REST API: model metadata, requests, and predictions from the answers.

The protocol is TensorFlow Serving's own (https://www.tensorflow.org/tfx/serving/api_rest): `GET <model>/metadata` and
`POST <model>:predict` with instances in row format. `emotion-edge serve` implements it too, and adds to the metadata,
under `emotion_edge`, the labels and the crop, which TensorFlow's signature does not contain.
"""

import base64
import http.client
import json
import math
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.emotion.scores import Scores, affect_output, scores_of
from edge.errors import printable
from edge.faces.crop import Pixels
from edge.models.card import CropSpec, EmotionCard, OutputSpec

SIGNATURE: Final = "serving_default"
VOTES: Final = "votes"
OWN_METADATA: Final = "emotion_edge"
ANSWER_BYTES: Final = 1 << 20
"""Largest answer that is accepted, in bytes; one face takes about 200."""
NO_ANSWER: Final = "no answer in time"
_TEXT: Final = 200
_MEMBERS_MAX: Final = 16
_PIXELS: Final = frozenset({"DT_UINT8", "DT_INT16", "DT_UINT16", "DT_INT32", "DT_UINT32", "DT_INT64", "DT_UINT64"})
_REAL: Final = frozenset({"DT_FLOAT", "DT_DOUBLE", "DT_HALF", "DT_BFLOAT16"})
_BINARY: Final = "DT_STRING"
_SUM_ERROR: Final = 0.02


class ServerError(Exception):
    """The server gave no usable answer; the message has the reason, in one line of at most _TEXT characters."""

    def __init__(self, reason: str) -> None:
        super().__init__(_line(reason))


class OwnMetadata(BaseModel):
    """Metadata that `emotion-edge serve` adds to a model's signature.

    members: models of a committee, in the order of the votes. outputs: specs of the predictions, which are final and
    calibrated.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    version: str
    sha256: str
    members: tuple[Annotated[str, Field(max_length=_TEXT)], ...] = Field(max_length=_MEMBERS_MAX)
    crop: CropSpec
    outputs: tuple[OutputSpec, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """The model that a server offers.

    dtype: of its input. card: describes its outputs. outputs: their names. members: models of a committee.
    """

    name: str
    dtype: str
    card: EmotionCard
    outputs: tuple[str, ...]
    members: tuple[str, ...]


class ModelServer:
    """Connection to one model on a server. Only `abort` may be called from another thread."""

    def __init__(self, url: str, timeout: float, token: str, card: EmotionCard) -> None:
        """Prepare the connection, without connecting.

        Args:
            url: of the model, such as http://host:8501/v1/models/name.
            timeout: of each network operation, seconds.
            token: bearer token; empty: none.
            card: of the local fallback, whose labels and crop the server's model must have.
        """
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._http = kind(parts.netloc, timeout=timeout)
        self._path = parts.path
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._card = card
        self._served: Served | None = None

    def open(self) -> Served:
        """Connect and read the metadata. Raises ServerError if that fails or the model does not match."""
        self.close()
        self._served = _served(self._call("GET", f"{self._path}/metadata"), self._card)
        return self._served

    def predict(self, crops: Pixels) -> Scores:
        """Classify face crops of the card's input size, uint8 [n, height, width, channels], n > 0.

        If the server has closed the idle connection, it is reopened once. Raises ServerError.
        """
        served = self._served
        if served is None or self._http.sock is None:
            # After a reconnection, the server may offer another model.
            served = self.open()
        try:
            return self._predict(crops, served)
        except _StaleError:
            return self._predict(crops, self.open())

    def close(self) -> None:
        """Close the connection."""
        self._served = None
        self._http.close()

    def abort(self) -> None:
        """Break the connection, so that a request that another thread waits for fails with ServerError."""
        connection = self._http.sock
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _predict(self, crops: Pixels, served: Served) -> Scores:
        body = json.dumps({"instances": instances_of(crops, served)}, separators=(",", ":")).encode()
        return scores_in(self._call("POST", f"{self._path}:predict", body), served, len(crops))

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        fresh = self._http.sock is None
        try:
            self._http.request(method, path, body, self._headers)
            response = self._http.getresponse()
            content = response.read(ANSWER_BYTES + 1)
        except (ConnectionError, http.client.RemoteDisconnected) as error:
            self.close()
            raise (ServerError if fresh else _StaleError)(_reason(error)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            # ValueError: a chunk of negative length.
            self.close()
            raise ServerError(_reason(error)) from error
        if len(content) > ANSWER_BYTES:
            self.close()
            raise ServerError(f"an answer of more than {ANSWER_BYTES >> 20} MiB")
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if response.status != http.client.OK:
            message = answer.get("error") if isinstance(answer, dict) else None
            shown = f": {message}" if isinstance(message, str) and message else ""
            raise ServerError(f"{response.status} {response.reason}{shown}")
        if not isinstance(answer, dict):
            self.close()
            raise ServerError("an answer that is no JSON object: is this a model server?")
        return answer


def instances_of(crops: Pixels, served: Served) -> list[Any]:
    """Encode crops for the server's input type: as pixels, as scaled real numbers, or as PNG files in base64."""
    if served.dtype in _PIXELS:
        return list(crops.tolist())
    if served.dtype in _REAL:
        low, high = served.card.input.value_range
        return list(np.round(low + np.arange(256) / 255.0 * (high - low), 5)[crops].tolist())
    files = (cv2.imencode(".png", crop, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1].tobytes() for crop in crops)
    return [{"b64": base64.b64encode(file).decode("ascii")} for file in files]


def scores_in(answer: Mapping[str, Any], served: Served, count: int) -> Scores:
    """Read the predictions for `count` faces from the answer to `predict`. Raises ServerError if it is not valid."""
    predictions = answer.get("predictions")
    if not isinstance(predictions, list) or len(predictions) != count:
        raise ServerError(f"no `predictions` of {count} face(s) in the answer")
    if len(served.outputs) == 1:
        # An answer with a single output does not name it.
        predictions = [{served.outputs[0]: prediction} for prediction in predictions]
    card = served.card
    values = {card.primary.name: _numbers(predictions, card.primary.name, len(card.primary.labels))}
    affect = affect_output(card)
    if affect and affect.name in served.outputs:
        values[affect.name] = _numbers(predictions, affect.name, 2)
    scores = scores_of(card, values)
    sums = scores.probabilities.sum(axis=1)
    if (scores.probabilities < 0).any() or not (np.abs(sums - 1) <= _SUM_ERROR).all():
        raise ServerError(f"output {card.primary.name!r} holds no probabilities")
    return Scores(
        np.asarray(scores.probabilities / sums[:, None], np.float32),
        scores.valence_arousal,
        [_votes(prediction, served) for prediction in predictions],
    )


class _StaleError(ServerError):
    """The server has closed the persistent connection."""


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return NO_ANSWER
    text = _line(str(getattr(error, "strerror", None) or error)) or type(error).__name__
    return text[:1].lower() + text[1:]


def _line(text: str) -> str:
    """Turn a server's text into one line for the log, without control characters."""
    return printable(text)[:_TEXT]


def _served(answer: Mapping[str, Any], card: EmotionCard) -> Served:
    """Return the model that the metadata describes. Raises ServerError if it does not match the fallback's card."""
    try:
        signature = answer["metadata"]["signature_def"]["signature_def"][SIGNATURE]
        inputs, outputs = dict(signature["inputs"]), dict(signature["outputs"])
        ((_, taken),) = inputs.items()
        dtype, shape = str(taken["dtype"]), _shape(taken)
        added = answer["metadata"].get(OWN_METADATA)
        own = None if added is None else OwnMetadata.model_validate(added)
        if own:
            theirs = EmotionCard.model_validate(card.model_dump() | {"outputs": own.outputs})
        name = _line(f"{own.name} {own.version}" if own else str(answer["model_spec"]["name"]))
        given = {str(output): _shape(tensor) for output, tensor in outputs.items()}
    except (KeyError, TypeError, ValueError, AttributeError, ValidationError) as error:
        raise ServerError(f"metadata that describes no model with one input ({error!r})") from error
    spec = card.input
    if dtype not in _PIXELS | _REAL | {_BINARY}:
        raise ServerError(f"its input is of type {dtype}")
    if dtype != _BINARY and shape and shape[1:] != (spec.height, spec.width, spec.channels):
        raise ServerError(f"it takes faces of {_times(shape[1:])}, not {spec.height}x{spec.width}x{spec.channels}")
    if own:
        labels, here = theirs.primary.labels, card.primary.labels
        if labels != here:
            raise ServerError(f"its labels are {', '.join(labels)}; here they are {', '.join(here)}")
        if own.crop != card.crop:
            raise ServerError("its faces are cut in another way than here")
        # `emotion-edge serve` also accepts PNG files, which are far smaller than lists of numbers.
        card, dtype = theirs, _BINARY
    primary = card.primary
    if primary.name not in given:
        raise ServerError(f"it has no output {primary.name!r} (it has {', '.join(sorted(given))})")
    if given[primary.name][-1:] not in ((), (-1,), (len(primary.labels),)):
        raise ServerError(
            f"its output {primary.name!r} has {given[primary.name][-1]} values, not {len(primary.labels)}"
        )
    return Served(name, dtype, card, tuple(given), own.members if own else ())


def _shape(tensor: Mapping[str, Any]) -> tuple[int, ...]:
    """Return a tensor's shape from the metadata: empty if unknown, -1 for a variable size."""
    shape = tensor["tensor_shape"]
    return () if shape.get("unknown_rank") else tuple(int(dim["size"]) for dim in shape["dim"])


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _numbers(predictions: list[Any], output: str, size: int) -> Any:
    """Extract one output of all faces from the predictions, float32 [n, size]."""
    try:
        rows = [[float(value) for value in prediction[output]] for prediction in predictions]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ServerError(f"no numbers of output {output!r} in the answer") from error
    if any(len(row) != size or not all(map(math.isfinite, row)) for row in rows):
        raise ServerError(f"output {output!r} is not {size} finite numbers a face")
    return np.array(rows, np.float32)


def _votes(prediction: Any, served: Served) -> dict[str, str]:
    votes = prediction.get(VOTES) if served.members else None
    if not isinstance(votes, list) or len(votes) != len(served.members):
        return {}
    labels = served.card.primary.labels
    return {
        member: vote
        for member, vote in zip(served.members, votes, strict=True)
        if isinstance(vote, str) and vote in labels
    }
