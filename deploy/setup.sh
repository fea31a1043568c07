#!/bin/sh
# Makes a virtual environment from a lock file: deploy/setup.sh VENV LOCK
# Missing system packages are installed if that needs no password; otherwise the script prints the command to type.
set -eu
venv=$1 lock=$2 python=${PYTHON:-python3}

if [ -f "$venv/.lock" ] && cmp -s "$venv/.lock" "$lock"; then exit 0; fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "emotion-edge needs Python 3.11 or later; $python is $("$python" --version 2>&1). Name another: make PYTHON=python3.13 ..." >&2
    exit 1
}

# A minimal Debian lacks the venv module and libraries that OpenCV's wheel links to.
missing=""
"$python" -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
have() { ldconfig -p 2>/dev/null | grep -q "$1" || /sbin/ldconfig -p | grep -q "$1"; }
have libGL.so.1 || missing="$missing libgl1"
have libgthread-2.0.so.0 || missing="$missing libglib2.0-0"
have libSM.so.6 || missing="$missing libsm6"
have libXext.so.6 || missing="$missing libxext6"
if [ -n "$missing" ]; then
    "$(dirname "$0")/apt.sh" $missing || {
        echo "Please install what is missing, then try again:  sudo apt-get install$missing" >&2
        exit 1
    }
fi

# picamera2 is a Debian package of Raspberry Pi OS, so there the environment must see the system's packages.
site=""
if "$python" -c 'import picamera2' 2>/dev/null; then site=--system-site-packages; fi
echo "Making $venv, which takes some minutes the first time ..."
"$python" -m venv --clear $site "$venv"
# argparse-manpage (pure Python, for development only) has no wheel.
"$venv/bin/pip" install --disable-pip-version-check --require-hashes --only-binary :all: --no-binary argparse-manpage \
    --progress-bar on -q -r "$lock"
"$venv/bin/pip" install --disable-pip-version-check -q --no-deps -e .
cp "$lock" "$venv/.lock"
