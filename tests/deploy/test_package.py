"""The Debian package: contents, metadata, reproducible build, and the service's limits.

Real dpkg, uv and lintian run on packages with only two of the wheels; `make package-test` installs complete ones.
"""

import gzip
import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from deploy.cli import main
from deploy.daemon_settings import check_settings
from deploy.package import build as package
from deploy.package.unused import remove_unused
from edge.errors import EmotionEdgeError
from tests.conftest import ROOT
from tests.support.daemon import free_port

EPOCH = 1_700_000_000
UNITS = ROOT / "systemd"


def need(program: str, debian: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian: {debian})")


def said(*words: str | Path) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def lock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lock file with two of the wheels, one of which contains machine code."""
    entries = re.split(r"\n(?=\S)", package.LOCK.read_text())
    chosen = [entry for entry in entries if entry.startswith(("paho-mqtt==", "pyyaml=="))]
    assert len(chosen) == 2
    file = tmp_path_factory.mktemp("lock") / "board.txt"
    file.write_text("\n".join(chosen) + "\n")
    return file


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, unaffected by concurrent changes of the checkout, with a committee added."""
    root = tmp_path_factory.mktemp("sources")
    for name in ("edge", "models", "systemd", "docs", "integrations"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.keras"))
    shutil.copy(ROOT / "CHANGELOG.md", root)
    (root / "models" / "committee").mkdir(exist_ok=True)
    (root / "models" / "committee" / "committee.json").touch()
    return root


def built(folder: Path, suite: str, lock: Path, sources: Path, arch: str = "arm64") -> Path:
    try:
        package.stage(folder / "tree", suite, arch, f"1.2.3+deb{package.SUITES[suite].release}", EPOCH, lock, sources)
    except EmotionEdgeError as error:
        if re.search(r"error sending request|dns error|Could not connect", str(error)):
            pytest.skip("the package registry cannot be reached")
        raise
    return package.pack(folder / "tree", folder / f"emotion-edge_{arch}.deb", EPOCH, "gzip")


@pytest.fixture(scope="module", params=list(package.SUITES))
def deb(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, lock: Path, sources: Path
) -> tuple[str, Path]:
    """Name of a suite, and the package built for it."""
    need("dpkg-deb", "dpkg")
    return request.param, built(tmp_path_factory.mktemp("package"), request.param, lock, sources)


def contents(file: Path) -> dict[str, str]:
    """List the contents of a package: mode, owner and time by path (`./etc`)."""
    lines = said("dpkg-deb", "--contents", file).splitlines()
    return {line.split(maxsplit=5)[5].split(" -> ")[0].rstrip("/"): line for line in lines}


def test_a_board_may_install_it_for_its_own_python_only(deb: tuple[str, Path]) -> None:
    suite, file = deb
    python = {"bookworm": ("3.11", "3.12"), "trixie": ("3.13", "3.14")}[suite]
    assert said("dpkg-deb", "--field", file, "Architecture").strip() == "arm64"
    depends = said("dpkg-deb", "--field", file, "Depends")
    assert f"python3 (>= {python[0]}~), python3 (<< {python[1]}~)" in depends
    assert ("libglib2.0-0t64" in depends) == (suite == "trixie")
    assert "python3-picamera2" in said("dpkg-deb", "--field", file, "Recommends")


def test_everything_the_board_needs_is_in_it(deb: tuple[str, Path]) -> None:
    suite, file = deb
    inside = contents(file)
    site = f"./opt/emotion-edge/lib/python{package.SUITES[suite].python}/site-packages"
    for path in (
        f"{site}/edge/cli.py",
        f"{site}/edge/outputs/web/page/index.html",
        f"{site}/edge/media/clip.mp4",
        f"{site}/paho/mqtt/client.py",
        "./usr/share/emotion-edge/models/emotion-small/model.tflite",
        "./usr/share/emotion-edge/models/emotion-small/card.json",
        "./usr/share/emotion-edge/models/yunet-160/model.tflite",
        "./usr/share/emotion-edge/models/yunet-320/LICENSE",
        "./usr/share/emotion-edge/models/committee/committee.json",
        "./usr/share/doc/emotion-edge/mqtt.md",
        "./usr/share/doc/emotion-edge/schemas/faces.schema.json",
        "./usr/lib/systemd/system/emotion-edge.service",
        "./usr/lib/systemd/system/emotion-edge@.service",
        "./usr/lib/systemd/system/emotion-edge-serve.service",
        "./usr/lib/sysusers.d/emotion-edge.conf",
        "./usr/lib/tmpfiles.d/emotion-edge.conf",
        "./usr/lib/udev/rules.d/60-emotion-edge-coral.rules",
    ):
        assert path in inside
    machine = [path for path in inside if path.endswith(".so")]
    assert machine
    assert all("aarch64-linux-gnu" in path for path in machine)
    assert not [path for path in inside if "__pycache__" in path or path.endswith((".keras", ".pyc"))]
    # A growing delay between restarts, if the suite's systemd supports it.
    assert ("./usr/lib/systemd/system/emotion-edge.service.d/backoff.conf" in inside) == (suite == "trixie")


def test_all_is_roots_and_of_the_sources_time(deb: tuple[str, Path]) -> None:
    for path, line in contents(deb[1]).items():
        mode, owner, _, day, *_ = line.split()
        assert owner == "root/root", path
        assert day == "2023-11-14", path
        assert mode[0] == "l" or mode[5] == mode[8] == "-", f"{path} may be written by others"


def test_settings_are_no_conffile_and_the_sums_are_right(deb: tuple[str, Path], tmp_path: Path) -> None:
    said("dpkg-deb", "--raw-extract", deb[1], tmp_path / "tree")
    tree = tmp_path / "tree"
    assert not (tree / "DEBIAN" / "conffiles").exists()
    assert not (tree / "etc").exists()
    assert (tree / "usr/share/doc/emotion-edge/config.yaml").read_bytes() == (UNITS / "config.yaml").read_bytes()
    lines = [line.split("  ") for line in (tree / "DEBIAN" / "md5sums").read_text().splitlines()]
    sums = {path: value for value, path in lines}
    files = {
        path for path in tree.rglob("*") if path.is_file() and not path.is_symlink() and "DEBIAN" not in path.parts
    }
    assert {str(path.relative_to(tree)) for path in files} == set(sums)
    for path in files:
        assert hashlib.md5(path.read_bytes()).hexdigest() == sums[str(path.relative_to(tree))]


def test_a_package_that_could_not_be_written_whole_leaves_no_file(tmp_path: Path) -> None:
    need("dpkg-deb", "dpkg")
    (tmp_path / "tree/DEBIAN").mkdir(parents=True)
    fields = "Package: demo\nVersion: 1\nArchitecture: all\nMaintainer: nobody <a@b.invalid>\nDescription: demo\n"
    (tmp_path / "tree/DEBIAN/control").write_text(fields)
    (tmp_path / "tree/data").write_bytes(os.urandom(1 << 20))
    (tmp_path / "out").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, before[1]))
    try:
        with pytest.raises(EmotionEdgeError, match="package: dpkg-deb"):
            package.pack(tmp_path / "tree", tmp_path / "out/demo.deb", EPOCH, "gzip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "out").iterdir())


def test_links_of_the_pages_lead_to_files_of_the_package(deb: tuple[str, Path], tmp_path: Path) -> None:
    said("dpkg-deb", "--extract", deb[1], tmp_path)
    folder = tmp_path / "usr/share/doc/emotion-edge"
    targets = [
        (page.name, target)
        for page in folder.glob("*.md")
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text())
        if "://" not in target
    ]
    assert ("home-assistant.md", "integrations/home-assistant/dashboard.yaml") in targets
    assert not [(page, target) for page, target in targets if not (folder / target).exists()]


def test_the_short_settings_file_is_valid_and_changes_no_default() -> None:
    short = yaml.safe_load((UNITS / "config-short.yaml").read_text())
    assert check_settings(short, "short") == check_settings({}, "empty")


def test_the_man_page_has_all_commands(deb: tuple[str, Path], tmp_path: Path) -> None:
    said("dpkg-deb", "--extract", deb[1], tmp_path)
    text = gzip.decompress((tmp_path / "usr/share/man/man1/emotion-edge.1.gz").read_bytes()).decode()
    assert text.startswith('.TH EMOTION\\-EDGE "1" "2023\\-11\\-14"')
    for command in ("run", "check\\-config", "doctor"):
        assert f"emotion\\-edge {command}" in text
    for flag in ("--image", "--csv", "--day", "--mqtt.host"):
        assert flag.replace("-", "\\-") in text


def test_whose_work_is_in_it_is_said(deb: tuple[str, Path], tmp_path: Path) -> None:
    said("dpkg-deb", "--extract", deb[1], tmp_path)
    text = (tmp_path / "usr/share/doc/emotion-edge/copyright").read_text()
    paragraphs = {}
    for paragraph in text.split("\n\n"):
        fields = {
            key: " ".join(value.split()) for key, value in re.findall(r"^(\w+):((?:.*(?:\n .*)*))", paragraph, re.M)
        }
        paragraphs[fields.get("Files", fields.get("License", "").split(" ")[0])] = fields
    for files, fields in paragraphs.items():
        for pattern in files.split() if "Files" in fields else ():
            assert list(tmp_path.glob(pattern)), f"{pattern} names nothing"
    for wheel, owner, licence in (("paho", "Eclipse Foundation", "EPL-2.0"), ("yaml", "Kirill Simonov", "Expat")):
        fields = next(fields for files, fields in paragraphs.items() if f"site-packages/{wheel}/*" in files)
        assert owner in fields["Copyright"]
        assert fields["License"].startswith(licence)
        assert (tmp_path / fields["License"].split(" /")[1]).is_dir()
    assert "Inter Project" in next(fields["Copyright"] for files, fields in paragraphs.items() if "font" in files)
    assert "SIL OPEN FONT LICENSE" in paragraphs["OFL-1.1"]["License"]
    assert "Permission is hereby granted" in paragraphs["Expat"]["License"]


USES_EVERYTHING = """
import importlib, pkgutil, queue, sys

sys.path[:0] = sys.argv[1:3]
import edge

for module in pkgutil.walk_packages(edge.__path__, "edge."):
    if module.name != "edge.cameras.picamera":  # by apt
        importlib.import_module(module.name)

from paho.mqtt.client import CallbackAPIVersion, Client

from edge.outputs.mqtt.embedded_broker import start_broker
from edge.cli import main

broker, heard = start_broker(int(sys.argv[4])), queue.Queue()
client = Client(CallbackAPIVersion.VERSION2)
client.on_connect = lambda client, *_: client.subscribe("door", 1)
client.on_subscribe = lambda client, *_: client.publish("door", "open", 1)
client.on_message = lambda client, _, message: heard.put(message.payload)
client.connect("127.0.0.1", broker.port)
client.loop_start()
assert heard.get(timeout=20) == b"open"
client.disconnect()
broker.close()
for detector in ("yunet", "haar"):
    assert main(["snapshot", "--camera.source", f"{sys.argv[2]}/edge/media/clip.mp4", "--detector.kind", detector,
                 "--after", "4", "--out", sys.argv[3]]) == 0
"""


def test_nothing_is_left_out_that_the_daemon_uses(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    here = 0
    for name in set(re.findall(r"^([a-z][\w-]+)==", package.LOCK.read_text(), re.MULTILINE)):
        try:
            wheel = distribution(name)
        except PackageNotFoundError:
            continue  # of another Python
        here += 1
        for file in wheel.files or ():
            source = Path(str(wheel.locate_file(file)))
            if ".." not in file.parts and source.suffix != ".pyc" and source.is_file():
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                hand_over(source, site / file)
    if here < 30:
        pytest.skip("the board's packages are not installed here")
    remove_unused(site)
    words = [str(site), str(ROOT), str(tmp_path / "out.jpg"), str(free_port())]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", USES_EVERYTHING, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (site / "pygments").exists()


def hand_over(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # on another disk
        shutil.copyfile(source, target)


def test_lintian_finds_no_error(deb: tuple[str, Path]) -> None:
    need("lintian", "lintian")
    done = subprocess.run(["lintian", "--allow-root", deb[1]], capture_output=True, text=True, check=False)
    assert not re.search(r"^E:", done.stdout, re.MULTILINE), done.stdout
    assert done.returncode == 0, done.stderr


def test_the_same_sources_give_the_same_bytes(deb: tuple[str, Path], tmp_path: Path, lock: Path, sources: Path) -> None:
    before = os.umask(0o077)
    try:
        again = built(tmp_path, deb[0], lock, sources)
    finally:
        os.umask(before)
    assert again.read_bytes() == deb[1].read_bytes()


def test_a_pc_gets_its_own_machine_code(tmp_path: Path, lock: Path, sources: Path) -> None:
    need("dpkg-deb", "dpkg")
    file = built(tmp_path, "bookworm", lock, sources, "amd64")
    assert any(path.endswith("x86_64-linux-gnu.so") for path in contents(file))
    assert said("dpkg-deb", "--field", file, "Architecture").strip() == "amd64"


def test_the_environment_is_one_that_also_sees_the_systems_packages(deb: tuple[str, Path], tmp_path: Path) -> None:
    suite, file = deb
    said("dpkg-deb", "--extract", file, tmp_path)
    folder = tmp_path / "opt" / "emotion-edge"
    assert "include-system-site-packages = true" in (folder / "pyvenv.cfg").read_text()
    assert (folder / "bin" / "python").readlink() == Path(f"/usr/bin/python{package.SUITES[suite].python}")
    assert os.access(folder / "bin" / "emotion-edge", os.X_OK)
    assert (tmp_path / "usr/bin/emotion-edge").readlink() == Path("/opt/emotion-edge/bin/emotion-edge")


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path, lock: Path, sources: Path) -> None:
    wrong = tmp_path / "board.txt"
    wrong.write_text(re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", lock.read_text()))
    with pytest.raises(EmotionEdgeError, match=r"cannot be fetched(.|\n)*(?i:hash)"):
        built(tmp_path, "bookworm", wrong, sources)


def test_what_is_not_known_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["package", "buster", "--out", str(tmp_path)]) == 2
    assert "buster is not known (there are: bookworm, trixie)" in capsys.readouterr().err
    assert main(["package", "trixie", "--arch", "armhf", "--out", str(tmp_path)]) == 2
    assert "armhf is not known (there are: arm64, amd64)" in capsys.readouterr().err


def test_a_later_commit_and_a_later_release_are_upgrades() -> None:
    need("dpkg", "dpkg")
    order = ["0.1.0~20261120090000.gabc+deb12", "0.1.0~20261121080000.g123+deb12", "0.1.0~20261121080000.g123+deb13"]
    order += ["0.1.0+deb12", "0.1.0+deb13", "0.2.0~20270101000000.gdef+deb12"]
    for older, newer in pairwise(order):
        assert subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=False).returncode == 0, newer


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_maintainer_scripts_are_shell(script: str) -> None:
    said("sh", "-n", ROOT / "deploy" / "package" / "debian" / script)
