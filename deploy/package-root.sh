#!/bin/bash
# Marks the packages unpacked in a root as installed in its dpkg database: deploy/package-root.sh ROOT
set -eu
root=$1 database=$1/var/lib/dpkg
cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
[ -e "$root/usr/bin/sh" ] || ln -s dash "$root/usr/bin/sh"
mkdir -p "$database/info" "$database/updates"
: >"$database/status"
for package in "$root"/var/cache/apt/archives/*.deb; do
    name=$(dpkg-deb -f "$package" Package)
    [ "$(dpkg-deb -f "$package" Multi-Arch)" = same ] && name=$name:arm64
    dpkg-deb --fsys-tarfile "$package" | tar -t | sed 's|^\.||; s|^/$|/.|; s|/$||' >"$database/info/$name.list"
    dpkg-deb -f "$package" | sed '/^Package:/a Status: install ok installed' >>"$database/status"
    echo >>"$database/status"
    rm "$package"
done
