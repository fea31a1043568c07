"""The server's side of TensorFlow Serving's REST protocol: decodes requests to faces, and encodes scores to answers.

It implements `predict` in the row format ("instances") and in the column format ("inputs"), the status and the metadata
of https://www.tensorflow.org/tfx/serving/api_rest. Answers hold calibrated probabilities, in place of a network's
logits.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

import numpy as np

from edge.cameras.image_decoder import UPLOAD_LIMITS, ImageDecoder
from edge.emotion.committee import Committee, voted_outputs
from edge.emotion.local import LocalClassifier
from edge.emotion.scores import Scores
from edge.emotion.tensorflow_serving import OWN_METADATA, SIGNATURE, VOTES, OwnMetadata
from edge.errors import EmotionEdgeError
from edge.faces.crop import Pixels, cut
from edge.models.card import EmotionCard, InputSpec
from edge.reading import Box

FACES_MAX: Final = 64
"""Maximum number of faces in one request."""
REQUEST_BYTES: Final = 4 << 20
FACE_LIMITS: Final = replace(UPLOAD_LIMITS, pixels=1_000_000)
"""Limits for a face that is sent as an image file."""


class RefusedError(Exception):
    """A request that cannot be served. status: of HTTP; the text has the reason."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def crops_in(body: bytes, card: EmotionCard, decoder: ImageDecoder) -> tuple[Pixels, bool]:
    """Decode the faces of a request for predictions.

    Args:
        body: of the request, JSON.
        card: of the requested model.
        decoder: decodes faces that are sent as image files.

    Returns:
        uint8 [n, height, width, channels], as the card says; and whether the request is in the column format, in which
        the answer must be too.

    Raises:
        RefusedError: the request cannot be answered.
    """
    spec = card.input
    most = 2 * FACES_MAX * spec.height * (spec.width * (spec.channels + 1) + 2)
    if sum(map(body.count, (b",", b"[", b"{"))) > most:
        # Each of these characters may become a Python object of a hundred bytes.
        raise RefusedError(413, f"more than {most} values in one request")
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the request is no JSON: {str(error)[:100]}") from error
    if not isinstance(request, dict) or ("instances" in request) == ("inputs" in request):
        raise RefusedError(
            400,
            'the request must be an object with a list "instances" (the row format) or "inputs" (the column format)',
        )
    if request.get("signature_name", SIGNATURE) not in ("", SIGNATURE):
        raise RefusedError(400, f'the only signature is "{SIGNATURE}"')
    columns = "inputs" in request
    instances = request["inputs" if columns else "instances"]
    if columns and isinstance(instances, dict):
        if set(instances) != {spec.name}:
            raise RefusedError(400, f'"inputs": the only input is "{spec.name}"; found {_names(instances)}')
        instances = instances[spec.name]
    if not isinstance(instances, list):
        where = (
            f'"inputs" must be a list, or an object with a list "{spec.name}"'
            if columns
            else '"instances" must be a list'
        )
        raise RefusedError(400, f"{where}, of a face each; found {_shape_of(instances)}")
    if not instances:
        raise RefusedError(400, f'"{"inputs" if columns else "instances"}" is empty')
    if len(instances) > FACES_MAX:
        raise RefusedError(413, f"{len(instances)} instances; at most {FACES_MAX} in one request")
    crops = np.empty((len(instances), spec.height, spec.width, spec.channels), np.uint8)
    for row, instance in enumerate(instances):
        if isinstance(instance, dict) and set(instance) == {spec.name}:
            instance = instance[spec.name]
        try:
            crops[row] = (
                _from_file(instance["b64"], card, decoder) if _is_binary(instance) else _from_list(instance, spec)
            )
        except (EmotionEdgeError, ValueError) as error:
            raise RefusedError(400, f"instance {row}: {error}") from error
    return crops, columns


def answer_of(scores: Scores, model: LocalClassifier | Committee, columns: bool = False) -> dict[str, Any]:
    """Build the answer to `predict`. columns: use the column format, a list for each output."""
    primary, affect = voted_outputs(model.card.primary)
    predictions = []
    for row, probabilities in enumerate(scores.probabilities):
        prediction: dict[str, Any] = {
            primary.name: _rounded(probabilities),
            affect.name: _rounded(scores.valence_arousal[row]),
        }
        if model.members:
            prediction[VOTES] = [scores.votes[row][member] for member in model.members]
        predictions.append(prediction)
    if columns:
        return {"outputs": {name: [prediction[name] for prediction in predictions] for name in predictions[0]}}
    return {"predictions": predictions}


def version_of(card: EmotionCard) -> str:
    """Return the first number of the model's version: TensorFlow Serving's versions are whole numbers."""
    digits = card.version.split(".")[0]
    return digits if digits.isdecimal() else "1"


def status_of(card: EmotionCard) -> dict[str, Any]:
    """Build the answer to a request for a model's status."""
    told = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": version_of(card), "state": "AVAILABLE", "status": told}]}


def metadata_of(name: str, model: LocalClassifier | Committee) -> dict[str, Any]:
    """Build the answer to a request for a model's metadata. name: under which the model is served."""
    card, outputs = model.card, voted_outputs(model.card.primary)
    spec = card.input
    signature = {
        "inputs": {spec.name: _tensor(spec.name, "DT_UINT8", spec.height, spec.width, spec.channels)},
        "outputs": {
            outputs[0].name: _tensor(outputs[0].name, "DT_FLOAT", len(card.primary.labels)),
            outputs[1].name: _tensor(outputs[1].name, "DT_FLOAT", 2),
        }
        | ({VOTES: _tensor(VOTES, "DT_STRING", len(model.members))} if model.members else {}),
        "method_name": "tensorflow/serving/predict",
    }
    own = OwnMetadata(
        name=card.name,
        version=card.version,
        sha256=card.sha256,
        members=model.members,
        crop=card.crop,
        outputs=outputs,
    )
    return {
        "model_spec": {"name": name, "signature_name": "", "version": version_of(card)},
        "metadata": {
            "signature_def": {"signature_def": {SIGNATURE: signature}},
            OWN_METADATA: own.model_dump(mode="json"),
        },
    }


def _is_binary(instance: Any) -> bool:
    return isinstance(instance, dict) and set(instance) == {"b64"}


def _from_list(instance: Any, spec: InputSpec) -> Pixels:
    """Convert nested lists of pixels to one face. Raises ValueError for other contents.

    Shape and types are checked before NumPy sees them: of one long text NumPy makes an array of gigabytes.
    """
    wanted = f"{spec.height} rows of {spec.width} pixels of {spec.channels} number(s) from 0 to 255"
    if spec.channels == 1:
        wanted += f", or {spec.height} rows of {spec.width} numbers"
    values: Sequence[Any] = [instance]
    for size in (spec.height, spec.width):
        if not all(isinstance(one, list) and len(one) == size for one in values):
            raise ValueError(f"must be {wanted}; found {_shape_of(instance)}")
        values = list(chain.from_iterable(values))
    if spec.channels != 1 or any(isinstance(one, list) for one in values):
        if not all(isinstance(one, list) and len(one) == spec.channels for one in values):
            raise ValueError(f"must be {wanted}; found {_shape_of(instance)}")
        values = list(chain.from_iterable(values))
    if not set(map(type, values)) <= {int, float} or not all(0 <= value <= 255 for value in values):
        raise ValueError(f"must be {wanted}; found other values")
    exact = np.array(values, np.float64)
    if exact.max() <= 1 and (exact % 1).any():
        raise ValueError(f"must be {wanted}; found 0 to 1: send pixels that are not divided by 255")
    return np.rint(exact).astype(np.uint8).reshape(spec.height, spec.width, spec.channels)


def _names(instances: Mapping[str, Any]) -> str:
    return ", ".join(sorted(instances))[:100] or "none"


def _shape_of(instance: Any) -> str:
    """Describe the shape of nested lists, by their first elements."""
    sizes = []
    while isinstance(instance, list):
        sizes.append(len(instance))
        instance = instance[0] if instance else None
    return "x".join(map(str, sizes)) or type(instance).__name__


def _from_file(text: Any, card: EmotionCard, decoder: ImageDecoder) -> Pixels:
    """Decode an image file in base64, of any size, to one face. Raises ValueError or EmotionEdgeError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ValueError(f"b64 is no base64: {error}") from error
    image = decoder.decode(data, FACE_LIMITS)
    height, width = image.shape[:2]
    if height != width:
        raise ValueError(f"a face that is cut out is square; found {width} x {height} pixels")
    return cut(image, Box(0, 0, width, height), card.input.width, card.input.height, card.crop.colour)


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 5) for value in values]


def _tensor(name: str, dtype: str, *sizes: int) -> dict[str, Any]:
    dims = [{"size": str(size), "name": ""} for size in (-1, *sizes)]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": f"{name}:0"}
