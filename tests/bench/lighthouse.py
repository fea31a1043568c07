"""Prints Lighthouse's scores of the live page, as on a phone and on a desktop, with the daemon on the bundled clip.

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
"""Categories of Lighthouse that are checked; not performance, as the page has an endless stream."""


def judge(program: Path, url: str, *flags: str) -> dict[str, object]:
    """Run Lighthouse on a page; returns its report. program: folder into which npm installed it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or ""
    script = program / "node_modules" / "lighthouse" / "cli" / "index.js"
    command = ["node", str(script), url, "--quiet", "--output=json"]
    command += [f"--only-categories={','.join(CATEGORIES)}", "--chrome-flags=--headless=new --no-sandbox", *flags]
    # As the stream never ends, Lighthouse must not wait for a quiet network.
    command += ["--max-wait-for-load=15000"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"CHROME_PATH": chromium}, timeout=180
    )
    return dict(json.loads(done.stdout))


def failed(report: dict[str, object]) -> list[str]:
    """Names of the audits in a report that lower a score."""
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
