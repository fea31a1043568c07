"""Lighthouse's scores of the live page: the daemon on the bundled clip, judged as on a phone and as on a desktop.

npm install --prefix /tmp/lighthouse --ignore-scripts -E lighthouse@12.2.3
.venv-dev/bin/python -m tests.bench.lighthouse /tmp/lighthouse
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from edge.media import CLIP
from tests.bench.page_pictures import answers
from tests.support.daemon import free_port, running, wait_until

CATEGORIES = ("accessibility", "best-practices", "seo")
"""Performance is left out: it would measure this machine, and a stream that never ends."""


def judge(program: Path, url: str, *flags: str) -> dict[str, object]:
    """Lighthouse's report as JSON. program: the folder that npm installed it into."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or ""
    script = program / "node_modules" / "lighthouse" / "cli" / "index.js"
    command = ["node", str(script), url, "--quiet", "--output=json"]
    command += [f"--only-categories={','.join(CATEGORIES)}", "--chrome-flags=--headless=new --no-sandbox", *flags]
    # The stream never ends: no waiting for a quiet network.
    command += ["--max-wait-for-load=15000"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"CHROME_PATH": chromium}, timeout=180
    )
    return dict(json.loads(done.stdout))


def failed(report: dict[str, object]) -> list[str]:
    """Names of the audits that cost points."""
    audits = report["audits"]
    assert isinstance(audits, dict)
    return [name for name, audit in audits.items() if audit["score"] is not None and audit["score"] < 1]


def main(program: Path) -> None:
    """Print a line for each kind of device."""
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        url = f"http://127.0.0.1:{port}/"
        with running(Path(name) / "log", {"camera.source": CLIP, "web.port": port}):
            wait_until(lambda: answers(url + "healthz"), "a picture")
            for kind, flags in (("phone", ()), ("desktop", ("--preset=desktop",))):
                report = judge(program, url, *flags)
                scores = {key: round(100 * one["score"]) for key, one in report["categories"].items()}  # type: ignore[attr-defined]
                print(f"{kind}: {scores}, audits that cost points: {', '.join(failed(report)) or 'none'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
