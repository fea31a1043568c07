#!/bin/sh
# Installs the system packages of the tests if that needs no password; else lists them with the tests that are skipped.
set -u
missing=""
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || { missing="$missing $2"; left_out="${left_out:-}  $2: $3\n"; }; }
need mosquitto mosquitto "all tests with a real MQTT broker"
need mosquitto_sub mosquitto-clients "tests with another MQTT client"
need openssl openssl "tests with TLS"
need chromium chromium "tests of the live page in a browser"
need chromedriver chromium-driver "tests of the live page in a browser"
need Xvfb xvfb "tests of the window"
need xauth xauth "tests of the window"
need xdotool xdotool "tests of the window's keys"
need openbox openbox "tests of the window"
need import imagemagick "tests of the window's pixels"
need lintian lintian "tests of the package"
need mcopy mtools "tests of card images"
need mkfs.vfat dosfstools "tests of card images"
need sfdisk fdisk "tests of card images"
need debugfs e2fsprogs "tests of card images"
need apt-ftparchive apt-utils "tests of the signed repository"
need gpg gnupg "tests of the signed repository"
need promtool prometheus "tests of the alerts"
need ffmpeg ffmpeg "tests of the stream in other viewers"
need sshd openssh-server "tests of pushing over SSH"
[ -f /usr/include/libdrm/drm_mode.h ] || { missing="$missing libdrm-dev"; left_out="${left_out:-}  libdrm-dev: the test of the kernel's structures\n"; }
gstreamer="gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly"
/usr/bin/python3 -c "import gi; gi.require_version('GstRtspServer', '1.0')" 2>/dev/null \
  || { missing="$missing python3-gi gir1.2-gst-rtsp-server-1.0 $gstreamer"; left_out="${left_out:-}  GStreamer: tests of RTSP against its server\n"; }
[ -z "$missing" ] && exit 0
"$(dirname "$0")/apt.sh" $missing && exit 0
printf 'These packages are missing and may not be installed here, so that their tests are skipped:\n'"$left_out"
echo "To run them all:  sudo apt-get install$missing"
