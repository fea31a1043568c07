#!/bin/bash
# Tests in bare Debian roots of this machine's architecture (as root, with mmdebstrap): deploy/root-test.sh STEP SUITE...
#   package  install, upgrade over edited settings, reinstall, remove, purge: no question, nothing left behind
#   readme   the commands in README, typed by a user without sudo: installation, and `make run` on the clip
#   python313  the tests of edge/ with trixie's Python 3.13 and the lock's packages for it (OpenCV 4.14); without TensorFlow
#            and a browser, whose tests are left out; ARGS: more arguments of pytest
#   cards    cloud-init's schema and netplan accept the files of cards for awkward sites (trixie only)
set -eu
cd "$(dirname "$0")/.."
step=$1
shift
[ $# -gt 0 ] || set -- bookworm trixie
cache=$PWD/.cache/roots
python=.venv-dev/bin/python
mkdir -p "$cache"

say() { echo "== $*"; }

# make_root NAME SUITE PACKAGES: a root with these packages and what they recommend; kept for the next run.
make_root() {
    [ -f "$cache/$1.tar" ] && return
    say "root $1"
    mmdebstrap --quiet --mode=root --format=tar --variant=minbase --aptopt='APT::Install-Recommends "true"' --include="$3" "$2" \
        "$cache/$1.tar.part" http://deb.debian.org/debian
    mv "$cache/$1.tar.part" "$cache/$1.tar"
}

# Runs a command in mount and process namespaces of its own, so that mounts and processes end with it.
inside='root=$1; shift
    mount -t proc proc "$root/proc"
    mount -t tmpfs tmpfs "$root/dev"
    mkdir -p "$root/dev/shm"; chmod 1777 "$root/dev/shm"
    for device in null zero full random urandom; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
    ln -s /proc/self/fd "$root/dev/fd"; ln -s /proc/self/fd/0 "$root/dev/stdin"; ln -s /proc/self/fd/1 "$root/dev/stdout"
    exec chroot "$root" "$@"'
in_root() { unshare ${network---net} --mount --propagation private --pid --fork --kill-child bash -euc "$inside" sh "$@"; }

unpack() {
    root=$cache/$1
    if grep -q " $root/" /proc/self/mounts; then echo "$root has mounts" >&2; exit 1; fi
    rm -rf --one-file-system "$root"
    mkdir "$root"
    tar -C "$root" -xf "$cache/$1.tar"
}

# dpkg's operations like in piuparts, without network and terminal.
package() {
    local suite=$1 arch old new
    arch=$(dpkg --print-architecture)
    mkdir -p "$cache/packages"
    old=$(ls "$cache/packages"/old-"$suite".deb 2>/dev/null || true)
    new=$cache/packages/new-$suite.deb
    if [ -z "$old" ]; then
        say "packages for $suite"
        $python - "$suite" "$arch" "$cache/packages" <<'END'
import sys, tempfile
from pathlib import Path
from deploy.package.build import SUITES, origin, pack, stage
suite, arch, out = sys.argv[1:]
for name, version in (("old", "0.0.1"), ("new", "0.0.2")):
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        stage(tree, suite, arch, f"{version}+deb{SUITES[suite].release}", origin().epoch)
        pack(tree, Path(out) / f"{name}-{suite}.deb", origin().epoch, "none")
END
        old=$cache/packages/old-$suite.deb
    fi
    local depends
    depends=$(dpkg-deb -f "$old" Depends | sed 's/([^)]*)//g; s/ //g')
    make_root "package-$suite" "$suite" "$depends"
    unpack "package-$suite"
    cp "$old" "$root/root/old.deb"
    cp "$new" "$root/root/new.deb"
    say "$suite: install, upgrade, reinstall, remove, purge"
    in_root "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive sh -euxc '
        listing() { find / -xdev \( -path /proc -o -path /dev -o -path /root -o -path /tmp -o -path /var/log -o -path /var/cache \
            -o -path /var/lib/dpkg -o -path /run \) -prune -o -print | sort; }
        ldconfig
        listing >/tmp/before
        install -D -m 0600 /etc/os-release /etc/emotion-edge/ca.pem
        dpkg -i /root/old.deb </dev/null
        test "$(stat -c "%U:%G %a" /etc/emotion-edge/ca.pem)" = "root:emotion-edge 640"
        dpkg -V emotion-edge
        test "$(stat -c "%U:%G %a" /etc/emotion-edge/config.yaml)" = "root:emotion-edge 640"
        setpriv --reuid=emotion-edge --regid=emotion-edge --clear-groups emotion-edge check-config >/dev/null
        echo "  # edited by the administrator" >>/etc/emotion-edge/config.yaml
        cp -p /etc/emotion-edge/config.yaml /tmp/edited
        dpkg -i /root/new.deb </dev/null
        test "$(dpkg-query -W -f "\${Version} \${db:Status-Status}" emotion-edge | sed "s/+deb[0-9]*//")" = "0.0.2 installed"
        cmp /etc/emotion-edge/config.yaml /tmp/edited
        test -z "$(find /etc -name "*.dpkg-*")"
        mv /opt/emotion-edge /tmp/lost
        dpkg -i /root/new.deb </dev/null
        dpkg -V emotion-edge
        rm -rf /tmp/lost /opt/emotion-edge
        dpkg -r emotion-edge </dev/null
        cmp /etc/emotion-edge/config.yaml /tmp/edited
        dpkg -i /root/new.deb </dev/null
        cmp /etc/emotion-edge/config.yaml /tmp/edited
        dpkg -r emotion-edge </dev/null
        test ! -e /opt/emotion-edge
        dpkg -P emotion-edge </dev/null
        listing >/tmp/after
        # The user of the service stays, in these files; so does an empty folder of enabled units.
        diff /tmp/before /tmp/after | grep "^>" | grep -v -E "/etc/(passwd|group|shadow|gshadow)-?$|/etc/systemd/system/multi-user.target.wants$|deb-systemd-helper" && exit 1
        exit 0'
    # The packages of this test are not compressed, to save time.
    if lintian --allow-root --suppress-tags \
        uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball "$new" | grep "^E:"; then
        say "$suite: lintian finds errors"
        exit 1
    fi
    say "$suite: package passes"
}

# The commands of README as a new user types them, except apt-get: mmdebstrap has installed the packages of that line.
readme() {
    local suite=$1 packages
    packages=$(sed -n 's/^    sudo apt-get install //p' README.md | head -1 | tr ' ' ,)
    make_root "readme-$suite" "$suite" "$packages,ca-certificates"
    unpack "readme-$suite"
    in_root "$root" useradd --create-home --shell /bin/bash maker
    git clone -q . "$root/home/maker/emotion-edge"
    # pip is configured as on this machine, so that it uses the same package index.
    local file
    for file in /etc/pip.conf /etc/resolv.conf /etc/hosts; do [ -f "$file" ] && cp -L "$file" "$root$file"; done
    for file in ${PIP_ROOT_FILES:-}; do mkdir -p "$root$(dirname "$file")"; cp -rL "$file" "$root$file"; done
    chroot "$root" chown -R maker:maker /home/maker
    say "$suite: make run"
    network="" in_root "$root" setpriv --reuid=maker --regid=maker --clear-groups --no-new-privs \
        env -i HOME=/home/maker PATH=/usr/bin:/bin LANG=C.UTF-8 $(env | grep -E '^(PIP_|SSL_CERT_FILE|REQUESTS_CA)' || true) bash -euc '
        cd ~/emotion-edge
        command -v sudo && exit 1
        make edge
        status=0
        timeout -s INT 60 make run ARGS="--mqtt.port 20883 --web.port 20080" >~/log 2>&1 || status=$?
        cat ~/log
        grep -q "face 1" ~/log'
    say "$suite: readme passes"
}

cards() {
    make_root cards-trixie trixie cloud-init,netplan.io
    unpack cards-trixie
    mkdir "$root/root/cards"
    $python - "$root/root/cards" <<'END'
import sys, tempfile
from pathlib import Path
import yaml
from deploy.image.cloud_init import card_files
from deploy.image.site import read_site
from tests.deploy.awkward_sites import GOOD
for number, tree in enumerate(GOOD):
    folder = Path(sys.argv[1]) / f"{number:02}"
    folder.mkdir()
    file = Path(tempfile.mkdtemp()) / "site.yaml"
    file.write_text(yaml.safe_dump(tree))
    file.chmod(0o600)
    for name, content in card_files(read_site(file)).items():
        if "/" not in name:
            (folder / name).write_bytes(content)
END
    in_root "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 sh -euc '
        count=0
        for card in /root/cards/*; do
            cloud-init schema --config-file "$card/user-data"
            rm -rf /tmp/netplan; mkdir -p /tmp/netplan/etc/netplan
            install -m 0600 "$card/network-config" /tmp/netplan/etc/netplan/50-card.yaml
            netplan generate --root-dir /tmp/netplan
            count=$((count + 1))
        done
        echo "$count cards accepted by $(cloud-init --version) and netplan"'
}

# Uses the working tree, and ../shared if it exists; only the loopback interface is up.
python313() {
    local packages=$cache/python313 names
    make_root python313-trixie trixie "python3,python3-gi,ca-certificates,openssl,mosquitto,mosquitto-clients,curl,\
gir1.2-gst-rtsp-server-1.0,gstreamer1.0-tools,gstreamer1.0-plugins-base,gstreamer1.0-plugins-good,gstreamer1.0-plugins-ugly"
    if [ ! -d "$packages" ]; then
        say "packages for Python 3.13"
        names=$($python -c '
import re, tomllib
from pathlib import Path
project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
print("\n".join(one for one in wanted if not re.match("ruff|mypy|types-|uv|argparse-manpage", one)))')
        rm -rf "$packages.part"
        echo "$names" | .venv-dev/bin/uv pip install -q --target "$packages.part" --python-version 3.13 \
            --python-platform "$(uname -m)-manylinux_2_34" --only-binary :all: -c requirements/dev.txt -r -
        # Installed only for the version in its metadata; the tests run the working tree.
        .venv-dev/bin/uv pip install -q --target "$packages.part" --python-version 3.13 --no-deps .
        mv "$packages.part" "$packages"
    fi
    unpack python313-trixie
    mkdir -p "$root/work/project" "$root/work/shared" "$root/work/packages"
    unshare --net --mount --propagation private --pid --fork --kill-child bash -euc '
        root=$1
        ip link set lo up
        mount --bind . "$root/work/project"
        mount --bind "$2" "$root/work/packages"
        [ ! -d ../shared ] || mount --bind ../shared "$root/work/shared"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        # No exec, as a test expects process 1 to be another process than its own.
        chroot "$root" env -i -C /work/project HOME=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
            PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/work/project:/work/packages \
            python3 -m pytest -q -p no:cacheprovider --continue-on-collection-errors tests/edge $3' sh "$root" "$packages" "${ARGS:-}"
    say "Python 3.13 passes"
}

for suite in "$@"; do
    case $step in
    package | readme) "$step" "$suite" ;;
    cards | python313) "$step"; break ;;
    *) echo "no step $step" >&2; exit 2 ;;
    esac
done
