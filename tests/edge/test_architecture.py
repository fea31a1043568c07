"""Compares docs/architecture.md with the code: direction of imports, and completeness of the page."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from edge.cli import _MODULES, main
from edge.config.settings import DetectorSettings
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = ("edge", "training", "quantize", "deploy")
MAY_IMPORT = {
    "edge": {"edge"},
    "training": {"edge", "training"},
    "quantize": {"edge", "training", "quantize"},
    "deploy": {"edge", "deploy"},
}


def modules(package: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        yield path.relative_to(ROOT), ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield the full name of every imported module; for `from package import module`, that of the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                path = ROOT / Path(*node.module.split(".")) / alias.name
                whole = path.is_dir() or path.with_suffix(".py").is_file()
                yield f"{node.module}.{alias.name}" if whole else node.module


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_one_way(package: str) -> None:
    wrong = [
        f"{path}: {name}"
        for path, tree in modules(package)
        for name in imports(tree)
        if name.partition(".")[0] in PACKAGES and name.partition(".")[0] not in MAY_IMPORT[package]
    ]
    assert wrong == []


def folder_of(name: str) -> str:
    """Return the folder of a module of edge; a module directly in edge counts as a folder of its own."""
    path = ROOT / Path(*name.split("."))
    inner = name if path.is_dir() else name.rpartition(".")[0]
    return name if inner == "edge" else inner


def test_no_folder_of_edge_imports_one_that_imports_it() -> None:
    edges: dict[str, set[str]] = defaultdict(set)
    for path, tree in modules("edge"):
        own = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        if own in ("edge", "edge.cli"):  # the public interface and the command line may import everything
            continue
        for name in imports(tree):
            if name.startswith("edge.") and folder_of(name) != folder_of(own):
                edges[folder_of(own)].add(folder_of(name))
    reached: dict[str, set[str]] = {}
    for start in list(edges):
        seen, queue = set(), [start]
        while queue:
            for step in edges.get(queue.pop(), ()):
                if step not in seen:
                    seen.add(step)
                    queue.append(step)
        reached[start] = seen
    assert sorted(folder for folder, seen in reached.items() if folder in seen) == []


def test_few_files_are_at_the_top_of_edge() -> None:
    assert len(list((ROOT / "edge").glob("*.py"))) <= 8


def test_every_path_on_the_page_is_there() -> None:
    named = re.findall(r"`((?:edge|training|quantize|deploy|tests|docs|systemd|models|integrations)/[\w./@-]+)`", PAGE)
    assert len(named) > 50
    assert [path for path in dict.fromkeys(named) if not (ROOT / path).exists()] == []


def test_every_folder_of_code_is_on_the_page() -> None:
    folders = {path.parent for package in PACKAGES for path, _ in modules(package)}
    assert sorted(str(folder) for folder in folders if f"`{folder}/`" not in PAGE) == []


def test_every_thread_is_on_the_page() -> None:
    started = r'start_worker\("([\w-]+)"|Thread\([^)]*name="([\w-]+)"'
    found = {
        one or other for path, _ in modules("edge") for one, other in re.findall(started, (ROOT / path).read_text())
    }
    assert len(found) > 8
    assert sorted(name for name in found if f"| `{name}` |" not in PAGE) == []


def test_every_file_of_edge_has_a_test_of_its_name_or_one_that_the_page_names() -> None:
    tests = [path.stem for path in (ROOT / "tests").rglob("test_*.py")]
    missing = []
    for path, _ in modules("edge"):
        if len((ROOT / path).read_text().splitlines()) <= 60 or path.stem == "__init__":
            continue
        named = re.search(rf"^\| `{re.escape(str(path))}` \| `(tests/[\w/]+\.py)`", PAGE, re.MULTILINE)
        names = (f"test_{path.stem}", f"test_{path.parent.name}_{path.stem}")
        if not any(test.startswith(names) for test in tests) and not (named and (ROOT / named[1]).is_file()):
            missing.append(str(path))
    assert missing == []


def test_no_file_is_too_long_to_read() -> None:
    long = [
        f"{path} ({lines})"
        for package in (*PACKAGES, "tests")
        for path, _ in modules(package)
        if (lines := len((ROOT / path).read_text().splitlines())) > 400
    ]
    assert long == []


def test_every_subcommand_is_in_a_page_for_users(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    ([a-z-]+)\s", capsys.readouterr().out, re.MULTILINE)
    pages = "".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert len(listed) > 8
    assert set(listed) == set(_MODULES)  # what cli.py imports for each
    assert [name for name in listed if f"emotion-edge {name}" not in pages] == []


def test_every_detector_is_in_its_page() -> None:
    page = (ROOT / "docs" / "detectors.md").read_text()
    annotation = DetectorSettings.model_fields["kind"].annotation
    kinds = get_args(annotation)
    assert len(kinds) > 3
    assert [kind for kind in kinds if f"`{kind}`" not in page] == []
