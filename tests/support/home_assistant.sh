#!/bin/sh
# Makes the environment that tests/whole/test_home_assistant.py needs: a real Home Assistant in .cache/home-assistant, with
# what its MQTT integration, its own start and its page need, and nothing else.
#
#   tests/support/home_assistant.sh [PYTHON]     PYTHON: a Python 3.13, unless `python3.13` is one
set -eu
cd "$(dirname "$0")/../.."
python=${1:-python3.13}
uv=$(command -v .venv-dev/bin/uv || command -v uv)
home=.cache/home-assistant

"$uv" venv --no-project --allow-existing --python "$python" "$home"
# It asks for a late patch release of Python 3.13; nothing that is used here does.
install() {
    VIRTUAL_ENV=$home "$uv" pip install --quiet --python-version 3.13.5 "$@"
}
install homeassistant
"$home/bin/python" - >"$home/requirements.txt" <<'PYTHON'
"""What the integrations need that it starts with, and MQTT with the platforms that a board has."""
import json
import re
from pathlib import Path

import homeassistant

root = Path(homeassistant.__file__).parent
defaults = re.search(r"DEFAULT_INTEGRATIONS = \{(.*?)\n\}", (root / "bootstrap.py").read_text(), re.DOTALL)
wanted = ["mqtt", "binary_sensor", "button", "event", "image", "mjpeg", "sensor", "switch", "update"]
wanted += ["ai_task", "assist_pipeline", "camera", "conversation", "history", "logbook", "lovelace", "tts"]  # for its page
wanted += re.findall(r'"(\w+)"', defaults.group(1))
seen, needed = set(), set()
while wanted:
    name = wanted.pop()
    manifest = root / "components" / name / "manifest.json"
    if name not in seen and manifest.is_file():
        seen.add(name)
        content = json.loads(manifest.read_text())
        needed.update(content.get("requirements", []))
        wanted += content.get("dependencies", [])
print("\n".join(sorted(needed)))
PYTHON
install -r "$home/requirements.txt"
"$home/bin/python" -c "from homeassistant.const import __version__; print('Home Assistant', __version__)"
