#!/bin/sh
# Builds the image localhost/emotion-edge from the package in build/: deploy/container/build.sh [BUILD OPTION...]
# BUILDER: podman (default if installed), docker or buildah. ARCH: amd64 or arm64 (default: this machine's); the image of
# another architecture is tagged with its name, and qemu-user-static must be installed to build it.
set -eu
cd "$(dirname "$0")/../.."
here=$(dpkg --print-architecture)
arch=${ARCH:-$here}
tag=localhost/emotion-edge
[ "$arch" = "$here" ] || tag=$tag:$arch
builder=${BUILDER:-$(command -v podman || command -v docker || command -v buildah)}
ls build/emotion-edge_*+deb13_"$arch".deb >/dev/null || {
    echo "first: emotion-deploy package trixie --arch $arch" >&2
    exit 1
}
context=build/container
rm -rf "$context"
mkdir -p "$context"
cp "$(ls -t build/emotion-edge_*+deb13_"$arch".deb | head -1)" "$context"
cp deploy/container/Containerfile deploy/container/healthcheck "$context"
# Docker's image format, as the OCI format has no health checks.
case $builder in *docker) format="" ;; *) format="--format docker" ;; esac
# shellcheck disable=SC2086
exec "$builder" build $format --platform "linux/$arch" --build-arg TARGETARCH="$arch" "$@" -t "$tag" -f "$context/Containerfile" "$context"
