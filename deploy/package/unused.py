"""Lists files of the wheels that the daemon does not need and the package omits, with the reasons.

`tests/deploy/test_package.py` runs the daemon without them.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

UNUSED: Final[Mapping[str, tuple[str, ...]]] = {
    "a wheel's own tests": ("**/tests", "tornado/test", "numpy/random/_examples"),
    "for compilers and type checkers": ("**/*.pyi", "**/*.h", "**/*.a", "**/*.pxd", "numpy/f2py", "numpy/distutils"),
    "commands of the wheels": ("bin",),
    "needed by amqtt's commands and its $SYS statistics only": (
        *(part for of in ("typer", "rich", "pygments", "mdurl", "shellingham", "psutil") for part in (of, f"{of}-*")),
        *("markdown_it", "markdown_it_py-*", "annotated_doc", "annotated_doc-*"),
    ),
    "LiteRT's converter, its compilers for accelerators, and their dependencies": (
        *("ai_edge_litert/aot", "ai_edge_litert/tools", "ai_edge_litert/tflite", "ai_edge_litert/vendors"),
        *("ai_edge_litert/*_pb2.py", "ai_edge_litert/schema_py_generated.py"),
        *(
            part
            for of in ("ml_dtypes", "protobuf", "flatbuffers", "tqdm", "backports_strenum")
            for part in (of, f"{of}-*")
        ),
        *("google", "backports"),
    ),
    "LiteRT's GPU delegate": ("ai_edge_litert/libLiteRtWebGpuAccelerator.so",),
    "Haar cascades other than frontal faces, and the largest of four for those": (
        *("cv2/data/haarcascade_[!f]*.xml", "cv2/data/haarcascade_frontalcatface*.xml"),
        *("cv2/data/haarcascade_fullbody.xml", "cv2/data/haarcascade_frontalface_alt_tree.xml"),
    ),
    "font files: Qt needs one of them": (*("cv2/qt/fonts/DejaVuSans-*.ttf", "cv2/qt/fonts/DejaVuSansCondensed*.ttf"),),
}
"""Glob patterns of omitted files below site-packages, by the reason for omitting them."""


def unused_in(site: Path) -> Iterator[Path]:
    """List the files and folders in a site-packages folder that match a pattern of UNUSED."""
    for patterns in UNUSED.values():
        for pattern in patterns:
            yield from site.glob(pattern)


def remove_unused(site: Path) -> None:
    """Delete the unused files of a site-packages folder."""
    for path in list(unused_in(site)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
