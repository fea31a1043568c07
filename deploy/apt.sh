#!/bin/sh
# Installs Debian packages where that needs no password: deploy/apt.sh PACKAGE...   Status 1 where it may not.
set -u
if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else exit 1; fi
command -v apt-get >/dev/null || exit 1
echo "Installing $* ..."
export DEBIAN_FRONTEND=noninteractive
# Old lists name old packages, or such as are not there any more. Without network what is cached may do.
$as_root apt-get update -qq >/dev/null 2>&1 || true
$as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
