#!/bin/bash
# Installs the arm64 packages in bare arm64 roots of Debian, without network, and listens to the daemon on its clip:
# deploy/package-test.sh SUITE[:INTERPRETER]...   (as root, with qemu-user-static, mmdebstrap, mosquitto; its log: stdout)
#
# qemu's emulation stands in for the processor, and the host's kernel for the board's: units are not started here.
set -eu
cd "$(dirname "$0")/.."
cache=.cache/package
seconds=${SECONDS_HEARD:-30}
mkdir -p "$cache"

say() { echo "== $*"; }

# Makes a root whose packages are unpacked and marked as installed, as their scripts would take half an hour under qemu.
# The users and groups of base-passwd and the link to the shell are what those scripts would make and the tests need.
make_root() {
    local suite=$1 glib=libglib2.0-0
    [ "$suite" = trixie ] && glib=libglib2.0-0t64
    say "a root of $suite"
    mmdebstrap --quiet --mode=root --variant=extract --arch=arm64 --format=tar --skip=cleanup/apt \
        --include='?essential' --include="python3,systemd,libgl1,libice6,libsm6,libx11-6,libxcb1,libxext6,$glib" \
        --extract-hook='.venv-dev/bin/python -m deploy.emulated.unpacked "$1"' \
        --extract-hook='for name in passwd group; do cp "$1/usr/share/base-passwd/$name.master" "$1/etc/$name"; done' \
        --extract-hook='[ -e "$1/usr/bin/sh" ] || ln -s dash "$1/usr/bin/sh"' \
        "$suite" "$cache/$suite.tar.part" http://deb.debian.org/debian
    mv "$cache/$suite.tar.part" "$cache/$suite.tar"
}

# The rest runs in mount and process namespaces of its own, so that its mounts and daemons end with it. dpkg gets no
# network.
spaces=(--mount --propagation private --pid --fork --kill-child)
inside='root=$1; shift
    mount -t proc proc "$root/proc"
    mount -t tmpfs tmpfs "$root/dev"
    mkdir "$root/dev/shm"
    for device in null zero random urandom; do
        touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    exec chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@"'
in_root() { unshare --net "${spaces[@]}" bash -euc "$inside" sh "$@"; }

remove() {
    # Never delete through a mount, which would reach the host's own devices.
    if grep -q " $(realpath "$1")" /proc/self/mounts; then echo "$1 is mounted; not removed" >&2; return; fi
    rm -rf --one-file-system "$1"
}

check() {
    local suite=${1%%:*} interpreter=${1#*:} root package site port flags
    [ "$interpreter" = "$1" ] && interpreter=auto
    [ -f "$cache/$suite.tar" ] || make_root "$suite"
    package=$(ls -t build/emotion-edge_*+deb$([ "$suite" = bookworm ] && echo 12 || echo 13)_arm64.deb | head -1)
    root=$(realpath "$cache")/root-$suite
    remove "$root"
    mkdir "$root"
    tar -C "$root" -xf "$cache/$suite.tar"
    cp "$package" "$root/root/package.deb"
    say "$suite: $(basename "$package"), $(($(stat -c %s "$package") / 1000000)) MB"
    in_root "$root" sh -ec '
        ldconfig; dpkg -i /root/package.deb; dpkg -V emotion-edge || true
        echo "installed: $(du -sm /opt/emotion-edge | cut -f1) MB"'
    [ -z "${LITERT:-}" ] || other_litert "$suite" "$root"
    port=$((20000 + RANDOM % 20000))
    printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >"$cache/mosquitto.conf"
    mosquitto -c "$cache/mosquitto.conf" 2>/dev/null &
    broker=$!
    for _ in $(seq 100); do
        mosquitto_pub -h 127.0.0.1 -p "$port" -t ready -n 2>/dev/null && break
        sleep 0.2
    done
    site=$(cd "$root" && echo opt/emotion-edge/lib/python3.*/site-packages)
    flags="--camera.source=/$site/edge/media/clip.mp4 --mqtt.host=127.0.0.1 --mqtt.port=$port --mqtt.device_id=board"
    say "$suite: the daemon on the clip, interpreter $interpreter"
    unshare "${spaces[@]}" bash -euc "$inside" sh "$root" \
        timeout 3600 setpriv --reuid=emotion-edge --regid=emotion-edge --clear-groups --no-new-privs \
        env HOME=/var/lib/emotion-edge emotion-edge run $flags --web.enabled=false --display.mode=off \
        --runtime.interpreter="$interpreter" >"$cache/$suite.log" 2>&1 &
    daemon=$!
    # Listens for `seconds` from the first face on; then a message must have arrived on each topic.
    local heard=$cache/$suite.heard failed=0
    mosquitto_sub -h 127.0.0.1 -p "$port" -t emotion/board/faces -C 1 >/dev/null &
    local first=$!
    while kill -0 "$first" 2>/dev/null && kill -0 "$daemon" 2>/dev/null; do sleep 1; done
    kill "$first" 2>/dev/null && failed=1
    timeout "$seconds" mosquitto_sub -h 127.0.0.1 -p "$port" -t 'emotion/board/#' -F '%t %p' >"$heard" || true
    kill $(pgrep -P "$daemon") 2>/dev/null || true # a signal to unshare itself would not reach the daemon
    wait "$daemon" 2>/dev/null || true
    kill "$broker"
    wait "$broker" 2>/dev/null || true
    for topic in status state faces stats; do
        local count
        count=$(grep -c "^emotion/board/$topic " "$heard" || true)
        echo "$topic: $count messages in $seconds s"
        grep -m1 "^emotion/board/$topic " "$heard" | cut -c1-400
        [ "$count" -gt 0 ] || failed=1
    done
    grep -q '"faces":\[{' "$heard" || failed=1
    grep -m1 'interpreter:' "$cache/$suite.log" || true
    # dpkg does not know the stand-ins and would not remove them.
    [ -z "${LITERT:-}" ] || rm -rf "$root/$site"/ai_edge_litert* "$root/$site/bin"
    in_root "$root" sh -ec '
        dpkg -r emotion-edge; test ! -e /opt/emotion-edge; test -e /var/lib/emotion-edge; test -e /etc/emotion-edge/config.yaml
        dpkg -P emotion-edge; test ! -e /var/lib/emotion-edge; test ! -e /etc/emotion-edge' || failed=1
    remove "$root"
    if [ "$failed" = 1 ]; then
        say "$suite: FAILED"
        tail -20 "$cache/$suite.log"
        return 1
    fi
    say "$suite: works"
}

# LITERT: version of ai-edge-litert to use in this test, if the locked one does not run under this qemu.
other_litert() {
    local suite=$1 site
    site=$(echo "$2"/opt/emotion-edge/lib/python3.*/site-packages)
    local python=${site%/site-packages}
    PATH=$PWD/.venv-dev/bin:$PATH uv pip install --no-config --quiet --no-deps --link-mode copy --target "$site" --only-binary :all: \
        --python-platform aarch64-manylinux_2_34 --python-version "${python##*python}" "ai-edge-litert==$LITERT"
    say "$suite: ai-edge-litert $LITERT in place of the lock's"
}

failures=0
[ $# -gt 0 ] || set -- bookworm trixie
for each in "$@"; do
    # Not `check || ...`, as then a failing command in it would not end it.
    set +e
    (set -e; check "$each")
    [ $? = 0 ] || failures=$((failures + 1))
    set -e
done
exit "$failures"
