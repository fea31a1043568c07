#!/bin/sh
# Installs Debian packages if root or sudo without a password allows it: deploy/apt.sh PACKAGE...   Status 1 if not.
set -u
if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else exit 1; fi
command -v apt-get >/dev/null || exit 1
echo "Installing $* ..."
export DEBIAN_FRONTEND=noninteractive
# Outdated lists may name packages that no longer exist. Without network, cached packages may suffice.
$as_root apt-get update -qq >/dev/null 2>&1 || true
$as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
