"""The package's bill of materials: Python packages, the native libraries inside them, and models, as CycloneDX."""

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_string
from pathlib import Path
from typing import Final

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from deploy.package.notices import licence_of

_BUILT_IN: Final = re.compile(
    rb"^ +(JPEG|PNG|TIFF|WEBP|JPEG 2000|AVIF|OpenEXR|ZLib|avcodec|avformat|avutil|swscale|swresample|QT):? +"
    rb"[^\n]*?\((?:ver )?([^\n)]+)\)",
    re.MULTILINE,
)
"""Matches lines on image and video decoders in the build information that OpenCV's library contains as text."""


def write_sbom(path: Path, name: str, version: str, site: Path, models: Path, epoch: int) -> None:
    """Write the bill of materials. The same input gives the same bytes.

    Args:
        path: the file, JSON of CycloneDX 1.6.
        name: name of the package.
        version: version of the package.
        site: the package's folder site-packages.
        models: the package's folder of models.
        epoch: Unix time of the document.
    """
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"pkg:deb/{name}@{version}"))
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, UTC)
    purl = PackageURL("deb", "emotion-edge", name, version)
    product = Component(name=name, version=version, type=ComponentType.APPLICATION, purl=purl, bom_ref=name)
    bom.metadata.component = product
    parts = [*_wheels(site), *_bundled(site), *_built_in(site), *_models(models)]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(product, parts)
    text = JsonV1Dot6(bom).output_as_string(indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def _wheels(site: Path) -> Iterator[Component]:
    for file in sorted(site.glob("*.dist-info/METADATA")):
        metadata = message_from_string(file.read_text(encoding="utf-8"))
        name, version = metadata["Name"], metadata["Version"]
        if name == "emotion-edge":
            continue
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            purl=PackageURL("pypi", None, re.sub(r"[-_.]+", "-", name).lower(), version),
            bom_ref=f"wheel {name}",
            properties=[Property(name="emotion-edge:licence", value=licence_of(metadata))],
        )


def _bundled(site: Path) -> Iterator[Component]:
    """Yield the shared libraries that wheels contain in separate folders (auditwheel's *.libs)."""
    for file in sorted(site.glob("*.libs/*.so*")):
        found = re.fullmatch(r"(.+?)-[0-9a-f]{8}\.so\.?(.*)", file.name)
        name, version = (found[1], found[2]) if found else (file.name, "")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        yield _library(
            name, version, file.parent.name.removesuffix(".libs"), [HashType(alg=HashAlgorithm.SHA_256, content=digest)]
        )


def _built_in(site: Path) -> Iterator[Component]:
    """Yield the libraries that are statically linked into OpenCV."""
    seen: set[str] = set()
    for file in sorted(site.glob("cv2/cv2*.so")):
        for found in _BUILT_IN.finditer(file.read_bytes()):
            name, version = found[1].decode(), found[2].decode(errors="replace").strip()
            if name not in seen:
                seen.add(name)
                yield _library(name, version, "opencv-python", [])


def _library(name: str, version: str, inside: str, hashes: list[HashType]) -> Component:
    return Component(
        name=name,
        version=version or None,
        type=ComponentType.LIBRARY,
        bom_ref=f"{inside} {name} {version}",
        hashes=hashes,
        properties=[Property(name="emotion-edge:inside", value=inside)],
    )


def _models(models: Path) -> Iterator[Component]:
    for file in sorted(models.glob("*/card.json")):
        card = json.loads(file.read_text(encoding="utf-8"))
        model = file.with_name("model.tflite")
        yield Component(
            name=card["name"],
            version=card["version"],
            type=ComponentType.MACHINE_LEARNING_MODEL,
            bom_ref=f"model {file.parent.name}",
            hashes=[_sha256(model)],
        )


def _sha256(file: Path) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(file.read_bytes()).hexdigest())
