"""Leaves modules unimported until something reads them: parts of NumPy 1, as NumPy 2 does itself, and of Python."""

import sys
import threading
from collections.abc import Sequence, Set
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

_OF_NUMPY: Final = frozenset(f"numpy.{part}" for part in ("ctypeslib", "fft", "ma", "polynomial", "random", "testing"))
_DOCSTRINGS: Final = frozenset(
    f"numpy.{core}.{part}" for core in ("core", "_core") for part in ("_add_newdocs", "_add_newdocs_scalars")
)
"""Modules that set docstrings; `core` is NumPy 1, `_core` NumPy 2."""
_OF_PYTHON: Final = frozenset(
    {
        *("calendar", "csv", "curses", "difflib", "gzip", "html", "logging.handlers", "mimetypes", "multiprocessing"),
        *("pickle", "tempfile", "urllib.request"),
    }
)
"""What NumPy, paho-mqtt, Tornado and Python itself import for functions that the daemon rarely calls or never."""

_lock = threading.RLock()


class _LateModule(ModuleType):
    """A module whose code runs only when an attribute is read that does not exist yet.

    `importlib.util.LazyLoader` runs it at any attribute; `inspect`, which pydantic uses, reads all modules' `__file__`.
    """

    def __getattr__(self, name: str) -> Any:
        with _lock:
            loader = self.__loader__
            if isinstance(loader, _LateLoader):
                self.__loader__ = loader.loader
                loader.loader.exec_module(self)
                self.__class__ = ModuleType  # type: ignore[assignment]
        return ModuleType.__getattribute__(self, name)


class _LateLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _LateModule


class _Finder:
    def __init__(self, names: Set[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._names else None
        if spec and spec.loader:
            spec.loader = _LateLoader(spec.loader)
        return spec


def import_late() -> None:
    """Save 6 MB of memory at rest (`python -m tests.bench.at_rest`); call before other modules are imported."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder(_OF_PYTHON | _DOCSTRINGS))
    # importlib.metadata imports some of them, so it is imported only now.
    from importlib.metadata import version

    if version("numpy").startswith("1."):
        sys.meta_path.insert(0, _Finder(_OF_NUMPY))
