"""Builds the test board's base image: Debian trixie set up like Raspberry Pi OS Lite, once per architecture.

The image has an MBR, a FAT32 boot partition (`bootfs`, with cloud-init's files) and an ext4 root partition. For arm64
the kernel is a file beside the image, passed to qemu: making an initramfs under emulation would take longer than
everything else. The image for amd64 boots in a container (native.py) and has no kernel.
"""

import hashlib
import lzma
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.emulated.broker import broker_certificates
from deploy.emulated.commands import run
from deploy.emulated.foreign import take_over
from deploy.emulated.unpacked import register_packages
from edge.errors import EmotionEdgeError

CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "emulated"
KERNEL: Final = CACHE / "vmlinuz"
INITRD: Final = CACHE / "initrd"

SUITE: Final = "trixie"
BOOT_MB: Final = 512
ROOT_MB: Final = 3072
START_MB: Final = 8
DISK_ID: Final = "e0ed9e00"

PACKAGES: Final = (
    "systemd-sysv udev dbus kmod sudo cloud-init netplan.io network-manager openssh-server systemd-timesyncd iproute2 "
    "mosquitto python3 python3-venv libgl1 libglib2.0-0t64 libxext6 less e2fsprogs "
    "dosfstools fdisk rfkill v4l-utils procps openssl"
)
"""Relevant packages of the official image, and a broker. Libraries that the Debian package needs are partly left out,
so that the card must contain them.
"""

_MODULES: Final = ("virtio_pci", "virtio_mmio", "virtio_blk", "ext4", "crc32c_generic")
"""Kernel modules needed to mount the root partition."""

_TOOLS: Final = {
    "mmdebstrap": "mmdebstrap",
    "sfdisk": "fdisk",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "openssl": "openssl",
    "socat": "socat",
    "apt-ftparchive": "apt-utils",
    "gpg": "gnupg",
}

_TOOLS_ARM: Final = {
    "arch-test": "arch-test",
    "cpio": "cpio",
    "depmod": "kmod",
    "qemu-aarch64-static": "qemu-user-static",
    "update-binfmts": "binfmt-support",
    "qemu-system-aarch64": "qemu-system-arm",
}

_TOOLS_NATIVE: Final = {"systemd-nspawn": "systemd-container", "nsenter": "util-linux"}

_CLOUD: Final = """\
datasource_list: [NoCloud, None]
datasource: {NoCloud: {seedfrom: "file:///boot/firmware"}}
ssh_deletekeys: false
ssh_genkeytypes: []
"""
"""cloud-init's configuration as in the official image, in which another service generates the SSH host keys."""

_HOST_KEYS: Final = """\
[Unit]
Description=Host keys of this machine
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
Before=ssh.service
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
[Install]
WantedBy=multi-user.target
"""

_MOSQUITTO: Final = """\
allow_anonymous true
listener 1883
listener 8883
certfile /etc/mosquitto/certs/broker.pem
keyfile /etc/mosquitto/certs/broker.key
"""

_INIT: Final = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do /bin/busybox insmod "/modules/$module"; done < /modules/order
while [ ! -b /dev/vda2 ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -o ro /dev/vda2 /root
/bin/busybox mount --move /dev /root/dev
/bin/busybox umount /proc /sys
exec /bin/busybox switch_root /root /sbin/init
"""


def image_path(arch: str) -> Path:
    """Return the path of the base image of an architecture."""
    return CACHE / ("base.img.xz" if arch == "arm64" else f"base-{arch}.img")


def broker_ca(arch: str) -> Path:
    """Return the path of the certificate authority that signed the certificate of the base image's Mosquitto."""
    return CACHE / f"broker-ca-{arch}.pem"


def build(arch: str = "arm64") -> Path:
    """Build the image, and for arm64 the kernel files, unless they exist; returns the image's path.

    Takes some minutes. Raises EmotionEdgeError if a tool is missing on this machine.
    """
    image = image_path(arch)
    authority = broker_ca(arch)
    needed = (image, authority, KERNEL, INITRD) if arch == "arm64" else (image, authority)
    if all(path.is_file() for path in needed):
        return image
    _check_machine(arch)
    CACHE.mkdir(parents=True, exist_ok=True)
    root, kernel, disk = CACHE / f"root-{arch}", CACHE / "kernel", CACHE / f"disk-{arch}.img"
    started = time.monotonic()

    def log_step(step: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {step}", flush=True)

    log_step(f"Debian {SUITE} for {arch}")
    _bootstrap(root, arch)
    if arch == "arm64":
        log_step("kernel")
        release = _kernel(root, kernel)
        _initrd(root, kernel, release)
        shutil.rmtree(kernel)
    log_step("settings")
    _configure(root, slow=arch == "arm64")
    shutil.copyfile(broker_certificates(root), authority)
    log_step("disk")
    _disk(root, disk)
    _remove_tree(root)
    if arch == "arm64":
        log_step("packing")
        run("xz", "-0", "-T0", "--force", "--keep", str(disk))
        disk.with_name(f"{disk.name}.xz").replace(image)
        disk.unlink()
    else:
        disk.replace(image)
    log_step(f"{image}: {image.stat().st_blocks * 512 / 1e6:.0f} MB")
    return image


def _check_machine(arch: str) -> None:
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    tools = _TOOLS | (_TOOLS_ARM if arch == "arm64" else _TOOLS_NATIVE)

    def missing() -> list[str]:
        return sorted({package for tool, package in tools.items() if not shutil.which(tool)})

    if missing():
        subprocess.run([str(Path(__file__).parents[1] / "apt.sh"), *missing()], check=False)
    if missing():
        raise EmotionEdgeError(f"the test board needs packages: sudo apt-get install {' '.join(missing())}")
    if os.geteuid() != 0:
        raise EmotionEdgeError("the test board's base is made as root: its files belong to root")
    if arch != "arm64":
        return
    binfmt = Path("/proc/sys/fs/binfmt_misc")
    if not (binfmt / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(binfmt)], check=False)
    if not (binfmt / "qemu-aarch64").exists():
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], check=False, stderr=subprocess.DEVNULL)
    if not (binfmt / "qemu-aarch64").exists():
        raise EmotionEdgeError(
            "programs for arm64 cannot be run here: is qemu-user-static with binfmt-support installed?"
        )


def _bootstrap(root: Path, arch: str) -> None:
    """Make the root tree: Debian's packages, set up.

    For another architecture than this machine's, no package is set up under emulation, which would take an hour: see
    foreign.py.
    """
    here = run("dpkg", "--print-architecture").decode().strip()
    if here == arch:
        _unpack(_set_up_packages(here), root)
        return
    native = CACHE / f"root-of-{here}"
    _unpack(_set_up_packages(here), native)
    _remove_tree(root)
    # What the variant minbase adds to the named packages.
    base = ("--include=?essential", "--include=?priority(required)", "--include=apt", "--skip=cleanup/apt")
    run(*_mmdebstrap("extract", arch), *base, SUITE, str(root))
    register_packages(root)
    take_over(native, root)
    run("chroot", str(root), "ldconfig")
    _remove_tree(native)


def _set_up_packages(arch: str) -> Path:
    """Return a tar of this machine's architecture with the packages set up, made once for each choice of packages."""
    words = _mmdebstrap("minbase", arch)
    tar = CACHE / f"packages-{arch}-{hashlib.sha256(' '.join(words).encode()).hexdigest()[:8]}.tar"
    if not tar.is_file():
        part = tar.with_suffix(".part")
        run(*words, "--format=tar", SUITE, str(part))
        part.replace(tar)
    return tar


def _mmdebstrap(variant: str, arch: str) -> tuple[str, ...]:
    # Manuals are most of the files, and not needed. Without the list of locales and the hardware database program,
    # setting up their packages takes seconds instead of minutes.
    left_out = [f"/usr/share/{what}/*" for what in ("man", "locale", "doc", "info")]
    left_out += ["/usr/share/i18n/SUPPORTED", "/usr/bin/systemd-hwdb"]
    slim = [f"--dpkgopt=path-exclude={path}" for path in left_out]
    return (
        *("mmdebstrap", "--mode=root", f"--variant={variant}", f"--architectures={arch}", "--components=main", *slim),
        *("--aptopt=APT::Install-Recommends false", f"--include={','.join(PACKAGES.split())}"),
    )


def _unpack(tar: Path, root: Path) -> None:
    _remove_tree(root)
    root.mkdir(parents=True)
    run("tar", "--extract", "--xattrs", "--xattrs-include=*", f"--file={tar}", f"--directory={root}")


def _remove_tree(root: Path) -> None:
    """Remove a root tree after unmounting what an interrupted run left mounted in it."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in mounted if point.startswith(f"{root}/")), reverse=True):
        run("umount", point)
    if root.exists():
        shutil.rmtree(root)


def _kernel(root: Path, kernel: Path) -> str:
    """Unpack Debian's kernel, to KERNEL, and its modules, into the root; returns the kernel's release.

    This machine's apt downloads it for the other architecture, as an emulated apt takes minutes.
    """
    if kernel.exists():
        shutil.rmtree(kernel)
    for name in ("lists/partial", "archives/partial"):
        (kernel / name).mkdir(parents=True)
    (kernel / "status").touch()
    options = {
        **{"APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Sandbox::User": "root"},
        **{"Dir::State": str(kernel), "Dir::State::status": str(kernel / "status"), "Dir::Cache": str(kernel)},
        **{"Dir::Etc::sourcelist": str(root / "etc/apt/sources.list"), "Dir::Etc::sourceparts": "-"},
        "Acquire::Languages": "none",
    }
    flags = [f"-o{name}={value}" for name, value in options.items()]
    run("apt-get", "-q", *flags, "update")
    depends = run("apt-cache", *flags, "depends", "linux-image-arm64").decode()
    name = next(line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line)
    run("apt-get", "-q", *flags, "download", name, "busybox-static", cwd=kernel)
    for package in kernel.glob("*.deb"):
        run("dpkg-deb", "-x", str(package), str(kernel))
        package.unlink()
    release = name.removeprefix("linux-image-")
    modules = next(path for path in kernel.glob(f"**/lib/modules/{release}"))
    shutil.copytree(modules, root / "usr/lib/modules" / release, symlinks=True, dirs_exist_ok=True)
    run("depmod", "-b", str(root), release)
    shutil.copyfile(kernel / "boot" / f"vmlinuz-{release}", KERNEL)
    return release


def _initrd(root: Path, kernel: Path, release: str) -> None:
    """Build the initial root file system: busybox, and the modules that mount the root partition."""
    tree = kernel / "initrd"
    (tree / "bin").mkdir(parents=True)
    (tree / "modules").mkdir()
    shutil.copy(
        next(path for path in kernel.rglob("busybox") if path.is_file() and os.access(path, os.X_OK)), tree / "bin"
    )
    (tree / "init").write_text(_INIT)
    (tree / "init").chmod(0o755)
    modules = root / "usr/lib/modules" / release
    needed = _in_order(modules, _MODULES)
    for module in needed:
        raw = (modules / module).read_bytes()
        (tree / "modules" / Path(module).name.removesuffix(".xz")).write_bytes(
            lzma.decompress(raw) if module.endswith(".xz") else raw
        )
    (tree / "modules/order").write_text("".join(Path(module).name.removesuffix(".xz") + "\n" for module in needed))
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    INITRD.write_bytes(run("cpio", "--quiet", "-o", "-H", "newc", cwd=tree, data=names.encode()))


def _in_order(modules: Path, names: Sequence[str]) -> list[str]:
    """List the files of modules and their dependencies, in loading order, without built-in ones."""
    depends = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        file, _, needs = line.partition(":")
        depends[file] = needs.split()
    by_name = {Path(file).name.split(".")[0].replace("-", "_"): file for file in depends}
    ordered: list[str] = []
    for name in names:
        if name in by_name:
            ordered += [need for need in [*reversed(depends[by_name[name]]), by_name[name]] if need not in ordered]
    return ordered


def _configure(root: Path, slow: bool) -> None:
    def write(name: str, text: str, mode: int = 0o644) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)

    (root / "boot/firmware").mkdir(parents=True, exist_ok=True)
    # As in images of Raspberry Pi OS since March 2026, nobody can log in as this user.
    run("chroot", str(root), "useradd", "--no-create-home", "--shell", "/usr/sbin/nologin", "pi")
    write(
        "etc/fstab",
        f"PARTUUID={DISK_ID}-01 /boot/firmware vfat defaults 0 2\nPARTUUID={DISK_ID}-02 / ext4 defaults,noatime 0 1\n",
    )
    write("etc/hostname", "raspberrypi\n")
    write("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 raspberrypi\n")
    write("etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg", _CLOUD)
    for unit in ("cloud-init-local", "cloud-init-main"):
        write(f"etc/systemd/system/{unit}.service.d/boot.conf", "[Unit]\nRequiresMountsFor=/boot/firmware\n")
    write("usr/lib/netplan/00-network-manager-all.yaml", "network: {version: 2, renderer: NetworkManager}\n", 0o600)
    write("etc/systemd/system/host-keys.service", _HOST_KEYS)
    write("etc/modules-load.d/camera.conf", "vivid\n")
    write("etc/modprobe.d/camera.conf", "options vivid n_devs=1 node_types=0x1\n")
    if slow:  # an emulated board is some fifty times slower, so its time-outs are longer
        write(
            "etc/systemd/system/emotion-edge.service.d/emulated.conf",
            "[Service]\nTimeoutStartSec=1800\nWatchdogSec=240\n",
        )
    # The broker listens to the outside for the tests' subscriber, and with TLS for the daemon.
    write("etc/mosquitto/conf.d/listener.conf", _MOSQUITTO)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    units = root / "etc/systemd/system/multi-user.target.wants"
    units.mkdir(parents=True, exist_ok=True)
    (units / "host-keys.service").symlink_to("/etc/systemd/system/host-keys.service")
    # Disabled, as the board is offline on purpose.
    for timer in ("apt-daily.timer", "apt-daily-upgrade.timer", "man-db.timer"):
        (root / "etc/systemd/system" / timer).symlink_to("/dev/null")
    write("etc/machine-id", "")  # made at the first boot
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    write("etc/resolv.conf", "")


def _disk(root: Path, disk: Path) -> None:
    end = START_MB + BOOT_MB + ROOT_MB
    boot, ext4 = disk.with_suffix(".fat"), disk.with_suffix(".ext4")
    for path, megabytes in ((disk, end), (boot, BOOT_MB), (ext4, ROOT_MB)):
        path.unlink(missing_ok=True)
        with path.open("wb") as file:
            file.truncate(megabytes << 20)
    table = (
        f"label: dos\nlabel-id: 0x{DISK_ID}\nunit: sectors\n"
        f"start={START_MB * 2048}, size={BOOT_MB * 2048}, type=c\n"
        f"start={(START_MB + BOOT_MB) * 2048}, size={ROOT_MB * 2048}, type=83\n"
    )
    run("sfdisk", "--quiet", str(disk), data=table.encode())
    run("mkfs.vfat", "-F", "32", "-n", "bootfs", str(boot))
    files = {
        "config.txt": "arm_64bit=1\n",
        "cmdline.txt": f"console=tty1 root=PARTUUID={DISK_ID}-02 rootfstype=ext4 fsck.repair=yes rootwait\n",
        "meta-data": "dsmode: local\ninstance_id: rpios-image\n",
        "user-data": "#cloud-config\n",
        "network-config": "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n      optional: true\n",
    }
    for name, text in files.items():
        run("mcopy", "-i", str(boot), "-", f"::{name}", data=text.encode())
    run("mke2fs", "-q", "-t", "ext4", "-L", "rootfs", "-d", str(root), str(ext4))
    for part, at in ((boot, START_MB), (ext4, START_MB + BOOT_MB)):
        run("dd", f"if={part}", f"of={disk}", "bs=1M", f"seek={at}", "conv=notrunc,sparse", "status=none")
        part.unlink()
