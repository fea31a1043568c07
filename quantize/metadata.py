"""Embeds labels and card in a .tflite file, in the TFLite Metadata format.

A buffer named TFLITE_METADATA describes the model (schema `metadata_schema.fbs` of TensorFlow Lite Support; the few
fields used are written without its generated code). The files that it names are in an uncompressed ZIP archive after
the model. Interpreters ignore both; Netron, Android Studio and `unzip` show them.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.errors import EmotionEdgeError
from quantize.flatbuffer import read_model, whole, write_model

BUFFER: Final = "TFLITE_METADATA"
FILE_ID: Final = b"M001"
PARSER_VERSION: Final = "1.0.0"
CARD: Final = "card.json"
DESCRIPTIONS, AXIS_LABELS = 1, 2
"""Values of AssociatedFileType in the schema: a file about the model; a file with an output's labels, one a line."""
# A fixed date, so that the same contents make the same file.
WRITTEN: Final = (1980, 1, 1, 0, 0, 0)


def embed(content: bytes, card: Mapping[str, Any], labels: Mapping[str, Sequence[str]], name: str) -> bytes:
    """Embed a card and the labels of the outputs in a TFLite file, replacing earlier ones.

    Args:
        content: The file.
        card: JSON with `name`, `version` and `licence`; without the file's hash, which covers the card.
        labels: Labels by output.
        name: The file's name, for messages.
    """
    model = read_model(content, name)
    files = {CARD: json.dumps(card, separators=(",", ":"))}
    files |= {_labels_file(output): "\n".join(names) + "\n" for output, names in labels.items()}
    packed = _describe(model, card, labels)
    old = [entry for entry in model.metadata or [] if entry.name.decode() == BUFFER]
    if old:
        model.buffers[old[0].buffer].data = packed
    else:
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = packed
        entry.name, entry.buffer = BUFFER.encode(), len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or []), entry]
    stream = io.BytesIO(write_model(model))
    with zipfile.ZipFile(stream, "a") as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file, WRITTEN), text)
    return stream.getvalue()


def read(path: Path) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Read the card and the labels by output that are embedded in a file.

    Raises EmotionEdgeError where the file is missing, damaged, or has none.
    """
    if not path.is_file():
        raise EmotionEdgeError(f"model {path}: not there")
    model = read_model(path.read_bytes(), str(path))
    with whole(str(path)):
        described = any(entry.name.decode() == BUFFER for entry in model.metadata or [])
    if not described or not zipfile.is_zipfile(path):
        beside = path.parent / CARD
        lies = f"; its card lies beside it: {beside}" if beside.is_file() else ""
        raise EmotionEdgeError(f"model {path}: carries no card (no {BUFFER}, or no archive behind the model){lies}")
    try:
        with whole(str(path)), zipfile.ZipFile(path) as archive:
            card = json.loads(archive.read(CARD))
            labels = {
                file.removeprefix("labels_").removesuffix(".txt"): tuple(archive.read(file).decode().split("\n")[:-1])
                for file in archive.namelist()
                if file != CARD
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise EmotionEdgeError(f"model {path}: the archive behind the model is damaged: {error}") from error
    return card, labels


def _labels_file(output: str) -> str:
    return f"labels_{output}.txt"


def _describe(model: Any, card: Mapping[str, Any], labels: Mapping[str, Sequence[str]]) -> Any:
    """Build the metadata flatbuffer, uint8 [n]; the format requires nested tables to be written first."""
    builder = flatbuffers.Builder(1024)
    signature = model.signatureDefs[0]
    graph = model.subgraphs[0]

    def tensors(places: Sequence[int], maps: Sequence[Any], described: bool) -> int:
        names = {entry.tensorIndex: entry.name.decode() for entry in maps}
        made = []
        for place in places:
            name = names[place]
            files = [_file(builder, _labels_file(name), AXIS_LABELS)] if described and name in labels else []
            made.append(_table(builder, 7, {0: builder.CreateString(name), 6: _vector(builder, files)}))
        return _vector(builder, made)

    inputs = tensors(graph.inputs, signature.inputs, described=False)
    outputs = tensors(graph.outputs, signature.outputs, described=True)
    subgraphs = _vector(builder, [_table(builder, 5, {2: inputs, 3: outputs})])
    files = _vector(builder, [_file(builder, CARD, DESCRIPTIONS)])
    strings = {
        place: builder.CreateString(str(text))
        for place, text in (
            (0, card["name"]),
            (1, "Facial expression recognition; card.json in the archive behind the model says all about it"),
            (2, card["version"]),
            (5, card["licence"]),
            (7, PARSER_VERSION),
        )
    }
    builder.Finish(_table(builder, 8, {**strings, 3: subgraphs, 6: files}), file_identifier=FILE_ID)
    return np.frombuffer(bytes(builder.Output()), np.uint8)


def _file(builder: Any, name: str, kind: int) -> int:
    text = builder.CreateString(name)
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(0, text, 0)
    builder.PrependInt8Slot(2, kind, 0)
    return int(builder.EndObject())


def _table(builder: Any, fields: int, offsets: Mapping[int, int]) -> int:
    """Write a flatbuffer table. offsets: strings and vectors already written, by field number."""
    builder.StartObject(fields)
    for place, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(place, offset, 0)
    return int(builder.EndObject())


def _vector(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
