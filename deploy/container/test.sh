#!/bin/bash
# Builds the image and runs it on the bundled clip beside a Mosquitto on the loopback, with buildah: needs root, and
# network for Debian's packages. BASE: an image to build on (default: docker.io's Debian). ARCH: as for build.sh.
set -eu
cd "$(dirname "$0")/../.."
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=${STORAGE_DRIVER:-vfs}
[ -n "${SKIP_BUILD:-}" ] || BUILDER=buildah deploy/container/build.sh ${BASE:+--build-arg BASE=$BASE}
image=localhost/emotion-edge
# Under qemu a start takes minutes.
patience=90
if [ "${ARCH:-$(dpkg --print-architecture)}" != "$(dpkg --print-architecture)" ]; then image=$image:$ARCH patience=900; fi
port=$((20000 + RANDOM % 20000)) folder=$(mktemp -d)
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >"$folder/mosquitto.conf"
mosquitto -c "$folder/mosquitto.conf" 2>/dev/null &
broker=$!
container=$(buildah from "$image")
trap 'kill $broker 2>/dev/null || true; buildah rm "$container" >/dev/null; rm -r "$folder"' EXIT
clip=/opt/emotion-edge/lib/python3.13/site-packages/edge/media/clip.mp4
timeout $((3 * patience)) buildah run "$container" -- env EMOTION_EDGE_CAMERA_SOURCE=$clip EMOTION_EDGE_MQTT_HOST=127.0.0.1 \
    EMOTION_EDGE_MQTT_PORT="$port" EMOTION_EDGE_MQTT_DEVICE_ID=container EMOTION_EDGE_WEB_ENABLED=false \
    sh -c 'emotion-edge run & echo $! >/tmp/pid; wait' >"$folder/log" 2>&1 &
[ "$(buildah run "$container" -- id -un)" = emotion-edge ]
for topic in status faces state stats; do
    timeout "$patience" mosquitto_sub -h 127.0.0.1 -p "$port" -t "emotion/container/$topic" -C 1 | cut -c1-160
done
# until_health STATUS: waits until the health check exits with that status.
until_health() {
    for _ in $(seq "$patience"); do
        status=0
        buildah run "$container" -- emotion-edge-healthcheck >"$folder/health" 2>&1 || status=$?
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
buildah run "$container" -- sh -c 'kill $(cat /tmp/pid)'
wait
