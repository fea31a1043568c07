#!/bin/bash
# Builds the image and runs it on the bundled clip beside a Mosquitto on the loopback, with buildah: needs root, and
# network for Debian's packages. BASE: an image to build on (default: docker.io's Debian). ARCH: as for build.sh.
set -eu
cd "$(dirname "$0")/../.."
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
[ -n "${SKIP_BUILD:-}" ] || BUILDER=buildah deploy/container/build.sh ${BASE:+--build-arg BASE=$BASE}
here=$(dpkg --print-architecture)
arch=${ARCH:-$here} image=localhost/emotion-edge patience=90
# Under qemu a start takes minutes.
[ "$arch" = "$here" ] || image=$image:$arch patience=900
port=$((20000 + RANDOM % 20000)) folder=$(mktemp -d)
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >"$folder/mosquitto.conf"
mosquitto -c "$folder/mosquitto.conf" 2>/dev/null &
broker=$!
container=$(buildah from --arch "$arch" "$image")
trap 'kill $broker 2>/dev/null || true; buildah rm "$container" >/dev/null; rm -r "$folder"' EXIT
# inside COMMAND...: runs it in the container. For another architecture, in a chroot instead: buildah mounts /sys, and LiteRT
# crashes under qemu where it finds this machine's processors there.
if [ "$arch" = "$here" ]; then
    inside() { buildah run "$container" -- "$@"; }
else
    root=$(buildah mount "$container")
    chroot_inside='root=$1; shift
        mount -t proc proc "$root/proc"
        for device in null urandom; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
        mkdir -p "$root/dev/shm"; mount -t tmpfs tmpfs "$root/dev/shm"
        exec chroot --userspec=emotion-edge "$root" "$@"'
    mapfile -t variables < <(buildah inspect --type container --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$container")
    inside() {
        unshare --mount --propagation private bash -euc "$chroot_inside" sh "$root" env -i HOME=/tmp "${variables[@]}" "$@"
    }
fi
clip=/opt/emotion-edge/lib/python3.13/site-packages/edge/media/clip.mp4
inside env EMOTION_EDGE_CAMERA_SOURCE=$clip EMOTION_EDGE_MQTT_HOST=127.0.0.1 \
    EMOTION_EDGE_MQTT_PORT="$port" EMOTION_EDGE_MQTT_DEVICE_ID=container EMOTION_EDGE_WEB_ENABLED=false \
    timeout $((3 * patience)) sh -c 'emotion-edge run & echo $! >/tmp/pid; wait' >"$folder/log" 2>&1 &
[ "$(inside id -un)" = emotion-edge ]
for topic in status faces state stats; do
    timeout "$patience" mosquitto_sub -h 127.0.0.1 -p "$port" -t "emotion/container/$topic" -C 1 | cut -c1-160
done
# until_health STATUS: waits until the health check exits with that status.
until_health() {
    for _ in $(seq "$patience"); do
        status=0
        inside emotion-edge-healthcheck >"$folder/health" 2>&1 || status=$?
        [ "$status" = "$1" ] && return
        sleep 1
    done
    cat "$folder/health" "$folder/log"
    return 1
}
until_health 0
echo "== healthy"
kill $broker
until_health 1
echo "== without its broker: $(head -1 "$folder/health")"
inside sh -c 'kill $(cat /tmp/pid)'
wait
