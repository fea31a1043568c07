"""Leaves parts of NumPy 1 unimported until something reads them, as NumPy 2 does itself."""

import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import version
from types import ModuleType
from typing import Any, Final

_LATE: Final = frozenset(f"numpy.{part}" for part in ("ctypeslib", "fft", "ma", "polynomial", "random", "testing"))

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
    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in _LATE else None
        if spec and spec.loader:
            spec.loader = _LateLoader(spec.loader)
        return spec


def import_late() -> None:
    """Save 3 MB of memory at rest (`python -m tests.bench.at_rest`); call before NumPy is imported."""
    if version("numpy").startswith("1.") and _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
