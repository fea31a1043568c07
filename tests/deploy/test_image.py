"""Card images, made from an imitation of the official image and read back with other tools."""

import gzip
import hashlib
import lzma
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deploy import cli
from deploy.image.device import describe
from deploy.image.disk import check_image, free_bytes
from deploy.image.make import make_image
from deploy.image.network import wpa_key
from deploy.image.packages import CAMERA_LIBRARY
from deploy.image.site import read_site
from deploy.package.deb import package_fields, suite_of
from edge.errors import EmotionEdgeError

BOOT_AT: Final = 1 << 20
BOOT_MB: Final = 36
ROOT_MB: Final = 8
_PATH: Final = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

_missing = [
    tool
    for tool in ("sfdisk", "mkfs.vfat", "mke2fs", "debugfs", "mcopy", "dpkg-deb", "openssl")
    if not shutil.which(tool, path=_PATH)
]
pytestmark = pytest.mark.skipif(bool(_missing), reason=f"not installed: {', '.join(_missing)}")


def tool(*words: str, data: bytes | None = None) -> bytes:
    environment = {**os.environ, "PATH": _PATH, "MTOOLS_SKIP_CHECK": "1"}
    return subprocess.run(words, input=data, capture_output=True, check=True, env=environment).stdout


def make_base(
    folder: Path, suite: str = "trixie", loader: str = "ld-linux-aarch64.so.1", cloud: bool = True, gpt: bool = False
) -> Path:
    """Make an image of MBR, FAT32 and ext4, packed with xz."""
    folder.mkdir(exist_ok=True)
    root = folder / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/os-release").write_text(f'ID=debian\nVERSION_CODENAME="{suite}"\n')
    (root / "usr/lib" / loader).touch()
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text("\n".join(installed(name) for name in ("python3", "libc6")))
    (root / "etc/apt").mkdir(parents=True)
    (root / "etc/rpi-issue").write_text("Raspberry Pi reference 2025-10-01\nGenerated using pi-gen\n")
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] copy:{folder}/archive ./\n")
    disk, boot, ext4 = folder / "base.img", folder / "boot", folder / "ext4"
    for path, size in ((disk, BOOT_AT + ((BOOT_MB + ROOT_MB) << 20)), (boot, BOOT_MB << 20), (ext4, ROOT_MB << 20)):
        with path.open("wb") as file:
            file.truncate(size)
    tool("mkfs.vfat", "-F", "32", "-s", "1", "-n", "bootfs", str(boot))
    for name in ("config.txt", "cmdline.txt", *(("user-data", "network-config", "meta-data") if cloud else ())):
        tool("mcopy", "-i", str(boot), "-", f"::{name}", data=b"as it came\n")
    tool("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(ext4))
    kinds = ("c", "83") if not gpt else ("0FC63DAF-8483-4772-8E79-3D69D8477DE4",) * 2
    starts = (BOOT_AT, BOOT_AT + (BOOT_MB << 20))
    sizes = (BOOT_MB << 20, (ROOT_MB << 20) - (0 if not gpt else 1 << 20))
    table = f"label: {'gpt' if gpt else 'dos'}\n" + "".join(
        f"start={start // 512}, size={size // 512}, type={kind}\n"
        for start, size, kind in zip(starts, sizes, kinds, strict=True)
    )
    tool("sfdisk", "--quiet", str(disk), data=table.encode())
    for part, at in ((boot, starts[0]), (ext4, starts[1])):
        with disk.open("r+b") as file, part.open("rb") as source:
            file.seek(at)
            shutil.copyfileobj(source, file)
    if gpt:
        tool("sfdisk", "--quiet", "--force", str(disk), data=table.encode())
    packed = folder / "base.img.xz"
    packed.write_bytes(lzma.compress(disk.read_bytes(), preset=0))
    return packed


def installed(name: str) -> str:
    fields = f"Package: {name}\nStatus: install ok installed\nArchitecture: arm64\nVersion: 3.13.5-1\n"
    return f"{fields}Maintainer: Test <test@example.org>\nDescription: for a test\n"


def make_package(
    folder: Path,
    arch: str = "arm64",
    python: str = "3.13",
    padding: int = 0,
    name: str = "emotion-edge",
    depends: str = "libc6",
    version: str = "1.2.3",
) -> Path:
    tree = folder / f"{name}_1.2.3_{arch}-{python}-{padding}-{len(depends)}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: Test <test@example.org>\n"
        f"Depends: python3 (>= {python}~), {depends}\nDescription: for a test\n"
    )
    (tree / "padding").write_bytes(os.urandom(padding))
    package = tree.with_name(f"{tree.name}.deb")
    tool("dpkg-deb", "-Znone", "--root-owner-group", "-b", str(tree), str(package))
    return package


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_site(tmp_path, {})


def write_site(folder: Path, changes: dict[str, Any]) -> Path:
    (folder / "id.pub").write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHere someone@desk\n")
    tree: dict[str, Any] = {
        "hostname": "kitchen",
        "user": {"name": "pi", "ssh_key_files": ["id.pub"], "password": "open sesame"},
        "wifi": {"ssid": "IEEE", "password": "password", "country": "DE"},
        "timezone": "Europe/Berlin",
        "settings": {"mqtt": {"host": "broker.lan", "username": "board", "password": "mqtt-secret"}},
    }
    file = folder / "site.yaml"
    file.write_text(yaml.safe_dump(tree | changes))
    return file


def on_boot(image: Path, name: str) -> bytes:
    return tool("mtype", "-i", f"{image}@@{BOOT_AT}", f"::{name}")


def test_card_holds_the_package_and_what_the_board_is_to_become(base: Path, site: Path, tmp_path: Path) -> None:
    package, card = make_package(tmp_path), tmp_path / "card.img"
    done = cli.main(["image", "--base", str(base), "--config", str(site), "-o", str(card), "--package", str(package)])
    assert done == 0
    assert on_boot(card, "emotion-edge/packages/emotion-edge_1.2.3_arm64.deb") == package.read_bytes()
    assert yaml.safe_load(on_boot(card, "emotion-edge/config.yaml"))["mqtt"]["host"] == "broker.lan"
    user_data = on_boot(card, "user-data").decode()
    assert user_data.startswith("#cloud-config\n")
    said = yaml.safe_load(user_data)
    assert said["hostname"] == "kitchen"
    assert said["timezone"] == "Europe/Berlin"
    (user,) = said["users"]
    assert user["ssh_authorized_keys"] == ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHere someone@desk"]
    _, kind, salt, _ = user["hashed_passwd"].split("$")
    assert (kind, user["lock_passwd"]) == ("6", False)
    assert tool("openssl", "passwd", "-6", "-salt", salt, "open sesame").decode().strip() == user["hashed_passwd"]
    network = yaml.safe_load(on_boot(card, "network-config"))["network"]
    # The example of IEEE 802.11i, H.4.1.
    key = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    assert network["wifis"]["wlan0"]["access-points"] == {"IEEE": {"password": key}}
    assert yaml.safe_load(on_boot(card, "meta-data"))["instance-id"].startswith("emotion-edge-")
    # The unit runs at each boot, and its program exists.
    (command,) = said["bootcmd"]
    assert on_boot(card, command[1].removeprefix("/boot/firmware/")).startswith(b"#!/bin/sh")
    # Everything else is unchanged, and both file systems are intact.
    assert on_boot(card, "config.txt") == b"as it came\n"
    for start, megabytes, check in (
        (BOOT_AT, BOOT_MB, ("fsck.vfat", "-n")),
        (BOOT_AT + (BOOT_MB << 20), ROOT_MB, ("e2fsck", "-fn")),
    ):
        part = tmp_path / "part"
        with card.open("rb") as file:
            file.seek(start)
            part.write_bytes(file.read(megabytes << 20))
        tool(*check, str(part))


def test_no_secret_is_logged_nor_stands_in_clear(
    base: Path, site: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    card = tmp_path / "card.img"
    make_image(base, read_site(site), [make_package(tmp_path)], card)
    out, err = capfd.readouterr()
    for secret in ("open sesame", "mqtt-secret", wpa_key("IEEE", "password")):
        assert secret not in out + err + caplog.text
    # The daemon's settings must contain the broker's password; other passwords are stored only as hashes.
    assert b"open sesame" not in card.read_bytes()
    assert card.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hostname": "my board"}, "hostname"),
        ({"hostnam": "kitchen"}, "hostnam is not known (did you mean hostname?)"),
        ({"user": {"name": "pi"}}, "nobody could log in"),
        ({"user": {"name": "pi", "passwort": "hunter2hunter2"}}, "user.passwort is not known (did you mean password?)"),
        ({"wifi": {"ssid": "x", "password": "hunter2", "country": "DE"}}, "wifi: password: must have 8"),
        ({"wifi": {"ssid": "x", "password": "hunter2hunter2"}}, "wifi.country"),
        ({"settings": {"mqtt": {"hots": "b"}}}, "settings: mqtt.hots is not a setting (did you mean mqtt.host?)"),
        ({"settings": {"mqtt": {"port": 0, "password": "hunter2hunter2"}}}, "mqtt.port"),
        ({"user": {"ssh_key_files": ["/nowhere/id.pub"]}}, "/nowhere/id.pub"),
    ],
)
def test_a_site_that_does_not_check_is_refused_before_anything_is_written(
    changes: dict[str, Any], message: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card, package = tmp_path / "card.img", make_package(tmp_path)
    file = write_site(tmp_path, changes)
    words = ["image", "--base", str(base), "--config", str(file), "-o", str(card), "--package", str(package)]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "hunter2" not in said
    assert not card.exists()


def refused(base: Path, site: Path, package: Path, card: Path, message: str) -> None:
    with pytest.raises(EmotionEdgeError, match=message):
        make_image(base, read_site(site), [package], card)
    assert sorted(path.name for path in card.parent.iterdir() if "card" in path.name) == []


def test_a_base_of_an_unknown_shape_is_refused(site: Path, tmp_path: Path) -> None:
    package, card = make_package(tmp_path), tmp_path / "card.img"
    refused(make_base(tmp_path / "gpt", gpt=True), site, package, card, "GPT")
    empty = tmp_path / "empty.img"
    empty.write_bytes(bytes(1 << 20))
    refused(empty, site, package, card, "no partition table")
    packed = tmp_path / "base.img.xz"
    packed.write_bytes(gzip.compress(b"not xz"))
    refused(packed, site, package, card, "cannot be unpacked")
    refused(tmp_path / "none.img", site, package, card, "does not exist")


def test_a_base_that_was_cut_off_is_refused(base: Path, site: Path, tmp_path: Path) -> None:
    package, card = make_package(tmp_path), tmp_path / "card.img"
    cut = tmp_path / "cut.img.xz"
    cut.write_bytes(base.read_bytes()[:-200])
    refused(cut, site, package, card, "incomplete")
    short = tmp_path / "short.img"
    with lzma.open(base) as packed:
        short.write_bytes(packed.read(BOOT_AT + (BOOT_MB << 20)))
    refused(short, site, package, card, "shorter than its partitions")


def test_a_base_that_does_not_go_with_the_package_is_refused(base: Path, site: Path, tmp_path: Path) -> None:
    package, card = make_package(tmp_path), tmp_path / "card.img"
    armhf = make_base(tmp_path / "armhf", loader="ld-linux-armhf.so.3")
    refused(armhf, site, package, card, "is for arm64, and base.img.xz is armhf")
    early = make_base(tmp_path / "early", cloud=False)
    refused(early, site, package, card, "this trixie image of 2025-10-01 has no cloud-init.*take a newer image")
    refused(base, site, make_package(tmp_path, python="3.11"), card, "is for bookworm, and base.img.xz is trixie")
    refused(base, site, make_package(tmp_path, padding=(BOOT_MB + 4) << 20), card, "is too full")


@pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is not here")
def test_what_the_image_lacks_is_fetched_from_where_the_image_has_its_packages(site: Path, tmp_path: Path) -> None:
    base, card = make_base(tmp_path / "base"), tmp_path / "card.img"
    package = make_package(tmp_path, depends="libc6, libsomething1")
    refused(base, site, package, card, "dependencies that the image lacks")
    archive = tmp_path / "base/archive"
    archive.mkdir()
    index = []
    # A version with an epoch, whose colon is not allowed in file names on FAT.
    something = make_package(archive, name="libsomething1", version="2:1.2.3")
    for library in (something, make_package(archive, name=CAMERA_LIBRARY)):
        described = tool("dpkg-deb", "-f", str(library)).decode().strip()
        content = library.read_bytes()
        where = f"Filename: ./{library.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        index.append(f"{described}\n{where}")
    (archive / "Packages").write_text("\n".join(index))
    make_image(base, read_site(site), [package], card)
    listing = tool("mdir", "-b", "-i", f"{card}@@{BOOT_AT}", "::emotion-edge/packages").decode()
    assert sorted(line.rpartition("/")[2] for line in listing.split()) == [
        "emotion-edge_1.2.3_arm64.deb",
        "libsomething1_2%3a1.2.3_arm64.deb",
        f"{CAMERA_LIBRARY}_1.2.3_arm64.deb",
    ]


def test_room_is_what_another_tool_says(base: Path, tmp_path: Path) -> None:
    disk = tmp_path / "base.img"
    with lzma.open(base) as packed:
        disk.write_bytes(packed.read())
    layout, system = check_image(disk, "base")
    assert (system.suite, system.arch, system.cloud_init) == ("trixie", "arm64", True)
    listing = tool("mdir", "-i", f"{disk}@@{BOOT_AT}", "::").decode()
    last = next(line for line in listing.splitlines() if "bytes free" in line)
    assert free_bytes(disk, layout) == int("".join(filter(str.isdigit, last)))


def test_a_mounted_card_gets_the_same_files(
    base: Path, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boot, package = tmp_path / "bootfs", make_package(tmp_path)
    boot.mkdir()
    words = ["image", "--boot", str(boot), "--base", str(base), "--config", str(site), "--package", str(package)]
    assert cli.main(words) == 2
    assert "it is not the boot partition" in capsys.readouterr().err
    assert list(boot.iterdir()) == []
    for name in ("config.txt", "cmdline.txt", "user-data"):
        (boot / name).touch()
    assert cli.main(words) == 0
    assert yaml.safe_load((boot / "user-data").read_text())["hostname"] == "kitchen"
    assert (boot / "emotion-edge/packages" / "emotion-edge_1.2.3_arm64.deb").read_bytes() == package.read_bytes()


def test_a_disk_is_refused_that_must_not_be_written(tmp_path: Path) -> None:
    file = tmp_path / "not-a-disk"
    file.touch()
    with pytest.raises(EmotionEdgeError, match="is not a disk of this machine"):
        describe(file)
    if not shutil.which("findmnt") or not shutil.which("lsblk"):
        pytest.skip("util-linux is not installed")
    source = tool("findmnt", "-n", "-o", "SOURCE", "/").decode().strip()
    if not Path(source).is_block_device():
        pytest.skip(f"the system is on {source}, which is no disk")
    with pytest.raises(EmotionEdgeError, match="own system"):
        describe(Path(source))


def test_a_package_says_what_it_is_for(tmp_path: Path) -> None:
    fields = package_fields(make_package(tmp_path, python="3.11"))
    assert (fields["Package"], fields["Architecture"], suite_of(fields)) == ("emotion-edge", "arm64", "bookworm")
    (tmp_path / "wrong.deb").write_bytes(b"no package")
    with pytest.raises(EmotionEdgeError, match="is no Debian package"):
        package_fields(tmp_path / "wrong.deb")
