"""What of the wheels stays off the board: one list, with the reason for each.

`tests/deploy/test_package.py` holds that everything the daemon does still works without it.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

UNUSED: Final[Mapping[str, tuple[str, ...]]] = {
    "a wheel's own tests": ("**/tests", "tornado/test", "numpy/random/_examples"),
    "for compilers and type checkers": ("**/*.pyi", "**/*.h", "**/*.a", "**/*.pxd", "numpy/f2py", "numpy/distutils"),
    "commands of the wheels: the board has one, emotion-edge": ("bin",),
    "what amqtt's commands print with, and its statistics, which the broker of the demo does not give": (
        *(part for of in ("typer", "rich", "pygments", "mdurl", "shellingham", "psutil") for part in (of, f"{of}-*")),
        *("markdown_it", "markdown_it_py-*", "annotated_doc", "annotated_doc-*"),
    ),
    "LiteRT's converter and compilers for other accelerators, and what only they need": (
        *("ai_edge_litert/aot", "ai_edge_litert/tools", "ai_edge_litert/tflite", "ai_edge_litert/vendors"),
        *("ai_edge_litert/*_pb2.py", "ai_edge_litert/schema_py_generated.py"),
        *(
            part
            for of in ("ml_dtypes", "protobuf", "flatbuffers", "tqdm", "backports_strenum")
            for part in (of, f"{of}-*")
        ),
        *("google", "backports"),
    ),
    "LiteRT on a graphics processor": ("ai_edge_litert/libLiteRtWebGpuAccelerator.so",),
    "cascades for what is no frontal face, and the largest of four for one": (
        *("cv2/data/haarcascade_[!f]*.xml", "cv2/data/haarcascade_frontalcatface*.xml"),
        *("cv2/data/haarcascade_fullbody.xml", "cv2/data/haarcascade_frontalface_alt_tree.xml"),
    ),
    "faces of a font of which Qt, for the window, needs one": (
        *("cv2/qt/fonts/DejaVuSans-*.ttf", "cv2/qt/fonts/DejaVuSansCondensed*.ttf"),
    ),
}
"""Paths below site-packages, as patterns, by why they are left out."""


def unused_in(site: Path) -> Iterator[Path]:
    """The files and folders of a site-packages that the list names."""
    for patterns in UNUSED.values():
        for pattern in patterns:
            yield from site.glob(pattern)


def remove_unused(site: Path) -> None:
    """Take them out of the folder."""
    for path in list(unused_in(site)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
