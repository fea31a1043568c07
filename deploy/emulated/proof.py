"""The proof on the emulated board: `make board`, or some steps of it by name.

Each step leaves the machine running for the next, and a card that later runs begin with: run/card.img. Times are of
this machine and its emulator, some fifty times slower than a board.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

import yaml

from deploy.emulated import base
from deploy.emulated.machine import USER, Ear, Machine, copy_sparse, wait_for
from deploy.push import HOME, push_all, read_package
from deploy.push_boards import model
from edge.errors import EmotionEdgeError

ROOT: Final = Path(__file__).resolve().parents[2]
RUN: Final = base.CACHE / "run"
CARD: Final = RUN / "card.img"
FRESH: Final = RUN / "fresh.img"
CLIP: Final = "/opt/emotion-edge/lib/python3.13/site-packages/edge/media/clip.mp4"
SLOW: Final = 3600
"""Seconds that anything may take here."""

_EMOTION_EDGE: Final = "/opt/emotion-edge/bin/emotion-edge"
_DAEMON: Final = "systemctl show -p MainPID --value emotion-edge"


class Proof:
    """What the steps share. log: where every line goes besides the screen."""

    def __init__(self, log: TextIO) -> None:
        self._log = log
        self._started = time.monotonic()
        self.machine = Machine(CARD, RUN)

    def say(self, text: str) -> None:
        line = f"{time.monotonic() - self._started:6.0f} s  {text}"
        print(line, flush=True)
        print(line, file=self._log, flush=True)

    def up(self) -> None:
        """Have the machine run and let us in."""
        if not self.machine.reached():
            self.machine.unplug()
            self.machine.start()
            seconds = wait_for(self.machine.reached, "it lets us in over SSH", SLOW)
            self.say(f"booted, and let us in, after {seconds:.0f} s")

    def installed(self) -> str:
        return self.machine.shell("dpkg-query -W -f='${Version}' emotion-edge")

    def healthy(self) -> None:
        """The service runs, and what it reads reaches a subscriber here."""
        self.up()
        seconds = wait_for(lambda: self._state() == "active", "the service is active", SLOW)
        since = time.monotonic()
        ear = Ear(self.machine.mqtt_port)
        try:
            ear.wait("status", lambda word: word == "online", SLOW)
            ear.wait("faces", lambda said: bool(said["faces"]), SLOW, since)
        finally:
            ear.close()
        self.say(f"the service is active ({seconds:.0f} s) and a face was published ({time.monotonic() - since:.0f} s)")

    def _state(self) -> str:
        return self.machine.shell("systemctl is-active emotion-edge || true")


def image(proof: Proof) -> None:
    """A card from the base image, by the command that users type."""
    (package,) = [_package()]
    site = {
        "hostname": "emulated",
        "user": {
            "name": USER,
            "ssh_key_files": [str(proof.machine.key.with_suffix(".pub"))],
            "password": "on the wall",
        },
        "wifi": {"ssid": "attic", "password": "no radio here", "country": "DE"},
        "timezone": "Europe/Berlin",
        "settings": {
            "camera": {"source": CLIP},
            "mqtt": {"host": "127.0.0.1", "device_id": "emulated"},
            "web": {"port": 8080},
        },
        "patience": SLOW,
    }
    file = RUN / "site.yaml"
    file.write_text(yaml.safe_dump(site))
    _deploy("image", "--base", str(base.BASE), "--config", str(file), "-o", str(CARD), "--package", str(package))
    copy_sparse(CARD, FRESH)
    proof.say(f"card: {CARD.stat().st_size / 1e6:.0f} MB, package {package.stat().st_size / 1e6:.0f} MB")


def first_boot(proof: Proof) -> None:
    """All is installed without network, the service runs, and no secret stays where anybody may read it."""
    proof.up()
    _installed_by_first_boot(proof)
    proof.healthy()
    _no_secrets(proof)


def _installed_by_first_boot(proof: Proof) -> None:
    seconds = wait_for(lambda: bool(proof.machine.shell(f"cat {HOME}/result || true")), "the first boot installs", SLOW)
    result = proof.machine.shell(f"cat {HOME}/result")
    proof.say(f"the first boot installed after {seconds:.0f} s more: {result}")
    if not result.startswith("ok "):
        raise EmotionEdgeError(
            proof.machine.shell(f"cat {HOME}/progress {HOME}/install.log; journalctl -n 50 --no-pager")
        )


def _no_secrets(proof: Proof) -> None:
    gone = "! test -e /boot/firmware/emotion-edge && ! grep -q passwd /boot/firmware/user-data && echo gone"
    wait_for(lambda: proof.machine.shell(f"{gone} || true") == "gone", "secrets leave the boot partition", SLOW)
    if modes := proof.machine.shell("find /etc/emotion-edge/config.yaml /etc/netplan -type f -perm /o=r"):
        raise EmotionEdgeError(f"anybody may read {modes}")
    if proof.machine.shell("hostname; readlink /etc/localtime").split() != [
        "emulated",
        "/usr/share/zoneinfo/Europe/Berlin",
    ]:
        raise EmotionEdgeError("the board has not the name and time zone that it was given")
    proof.say("no secret is left on the boot partition, nor readable to all on the other")


def messages(proof: Proof) -> None:
    """A subscriber on this machine gets status, state and faces through the board's own broker."""
    proof.up()
    since, ear = time.monotonic(), Ear(proof.machine.mqtt_port)
    try:
        status = ear.wait("status", lambda word: word == "online", SLOW)
        faces = ear.wait("faces", lambda said: bool(said["faces"]), SLOW)
        state = ear.wait("state", lambda said: said.get("faces", 1), SLOW)
        stats = ear.wait("stats", lambda _: True, SLOW)
    finally:
        ear.close()
    proof.say(f"status: {status.payload}; state: {state.payload}")
    proof.say(f"faces: {faces.payload}")
    proof.say(f"stats: {stats.payload} (after {time.monotonic() - since:.0f} s)")


def camera(proof: Proof) -> None:
    """A V4L2 camera (the kernel's `vivid`) is read under the service's limits; then the clip again."""
    proof.up()
    _settings(proof, source="/dev/video0")
    since, ear = time.monotonic(), Ear(proof.machine.mqtt_port)
    try:
        heard = ear.wait("faces", lambda said: "faces" in said, SLOW, since)
    finally:
        ear.close()
    proof.say(f"from /dev/video0: {heard.payload}")
    _settings(proof, source=CLIP)
    proof.healthy()


def _settings(proof: Proof, source: str) -> None:
    proof.machine.shell(f"sed -i 's|^  source: .*|  source: {source}|' /etc/emotion-edge/config.yaml")
    proof.machine.shell("systemctl restart emotion-edge")


def screen(proof: Proof) -> None:
    """What is on the board's screen, saved."""
    proof.up()
    out = RUN / "screen.png"
    proof.machine.picture(out)
    proof.say(f"screen: {out}")


def watchdog(proof: Proof) -> None:
    """A daemon that hangs is ended and started again."""
    proof.up()
    before = proof.machine.shell(_DAEMON)
    proof.machine.shell(f"kill -STOP {before}")
    seconds = wait_for(lambda: proof.machine.shell(_DAEMON) not in (before, "0"), "the watchdog bites", SLOW)
    proof.say(f"stopped; another daemon runs after {seconds:.0f} s")
    proof.healthy()


def upgrade(proof: Proof) -> None:
    """A push over SSH installs the next version."""
    proof.up()
    _push(proof, _next(proof, "a"), well=True)
    proof.healthy()


def broken(proof: Proof) -> None:
    """A version that does not start is undone by the board itself."""
    proof.up()
    before = proof.installed()
    _push(proof, _next(proof, "b", breaks=True), well=False)
    if proof.installed() != before:
        raise EmotionEdgeError(f"{proof.installed()} is installed, not {before}")
    proof.healthy()


def models(proof: Proof) -> None:
    """A model is installed over SSH, and rolled back."""
    proof.up()
    released = _other_model(other := RUN / "emotion-other")
    for words, folder, runs in ((["install"], other, "9.9.9"), (["rollback"], None, released)):
        if not model([proof.machine.host], words, folder, proof.machine.options):
            raise EmotionEdgeError(f"model {words[0]}: failed")
        if not any(line.startswith("*") and f" {runs} " in line for line in _models(proof)):
            raise EmotionEdgeError(f"after {words[0]}, {runs} does not run: {_models(proof)}")
        proof.say(f"model {words[0]}: {runs} runs")
    proof.healthy()


def _other_model(folder: Path) -> str:
    """emotion-small as version 9.9.9; its own version."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "models/emotion-small", folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | {"version": "9.9.9"}))
    return str(card["version"])


def _models(proof: Proof) -> list[str]:
    return proof.machine.shell(f"{_EMOTION_EDGE} model list").splitlines()


def cut_first_boot(proof: Proof) -> None:
    """The power goes while the first boot installs: the next boot carries on."""
    proof.machine.unplug()
    copy_sparse(FRESH, CARD)
    proof.machine.start()
    wait_for(proof.machine.reached, "it lets us in over SSH", SLOW)
    unpacking = "dpkg-query -W -f='${db:Status-Status}' emotion-edge 2>/dev/null || true"
    states = ("half-installed", "unpacked", "half-configured")
    wait_for(lambda: proof.machine.shell(unpacking) in states, "the package is being installed", SLOW)
    proof.say(f"the power goes while the package is {proof.machine.shell(unpacking)}")
    proof.machine.unplug()
    first_boot(proof)


def cut_upgrade(proof: Proof) -> None:
    """The power goes while a push installs: the next boot carries on."""
    _cut_push(proof, _next(proof, "c"), "installing ", "ok ")


def cut_broken(proof: Proof) -> None:
    """The power goes while the board undoes a broken version: the next boot goes on undoing it."""
    _cut_push(proof, _next(proof, "d", breaks=True), "going back ", "rolled-back ")


def _cut_push(proof: Proof, package: Path, while_it_says: str, ends: str) -> None:
    """Push, cut the power soon after the board says a step, and see that it ends well by itself."""
    proof.up()
    at_step = f"test -e {HOME}/incoming/ready && grep -q '^{while_it_says}' {HOME}/progress && echo yes || true"

    def cut() -> bool:
        if proof.machine.shell(at_step) != "yes":
            return False
        time.sleep(20)
        proof.machine.unplug()
        return True

    pusher = subprocess.Popen(
        [sys.executable, "-c", _PUSHER, str(package), str(proof.machine.ssh_port), *proof.machine.options], cwd=ROOT
    )
    wait_for(cut, f"the board says {while_it_says}", SLOW)
    pusher.wait()
    proof.say(f"the power went 20 s after the board said {while_it_says}")
    proof.up()
    wait_for(lambda: bool(proof.machine.shell(f"cat {HOME}/result || true")), "the board finishes by itself", SLOW)
    result = proof.machine.shell(f"cat {HOME}/result")
    proof.say(result)
    if not result.startswith(ends):
        raise EmotionEdgeError(f"it should have ended with {ends}")
    proof.healthy()


def cut_model(proof: Proof) -> None:
    """The power goes while a model is installed: the old one runs or the new one, whole."""
    proof.up()
    there, store = "/var/tmp/emotion-other", "/var/lib/emotion-edge/models"
    proof.machine.shell(f"rm -rf {there}; cp -r /usr/share/emotion-edge/models/emotion-small {there}; sync")
    proof.machine.shell(f"""sed -i '0,/"version"/s/"version": "[^"]*"/"version": "9.9.9"/' {there}/card.json""")
    # Watched for there: here it would be over before it is seen.
    install = f"nohup {_EMOTION_EDGE} model install {there} >/dev/null 2>&1 &"
    proof.machine.shell(f"{install}\nuntil ls -d {store}/.coming-* >/dev/null 2>&1; do sleep 0.1; done")
    proof.machine.unplug()
    proof.say("the power went while the model was being installed")
    proof.up()
    listed = _models(proof)
    if not any(line.startswith("*") and ("9.9.9" in line or "emotion-small" in line) for line in listed):
        raise EmotionEdgeError(f"no emotion model runs: {listed}")
    proof.say(f"runs: {next(line for line in listed if line.startswith('*'))}")
    proof.healthy()


_PUSHER: Final = """
import sys
from pathlib import Path
from deploy.emulated.machine import USER
from deploy.push import push_all
from deploy.push_hosts import Host
package, port, *options = sys.argv[1:]
push_all([Host("board", f"{USER}@127.0.0.1", int(port))], Path(package), 3600, tuple(options))
"""

STEPS: Final[tuple[Callable[[Proof], None], ...]] = (
    image,
    first_boot,
    messages,
    camera,
    screen,
    watchdog,
    upgrade,
    broken,
    models,
    cut_upgrade,
    cut_broken,
    cut_model,
    cut_first_boot,
)


def _package() -> Path:
    """The package of this checkout, built unless it is there."""
    folder = base.CACHE / "packages"
    if not (found := sorted(folder.glob("emotion-edge_*_arm64.deb"))):
        _deploy("package", "trixie", "--out", str(folder))
        found = sorted(folder.glob("emotion-edge_*_arm64.deb"))
    return found[-1]


def _next(proof: Proof, suffix: str, breaks: bool = False) -> Path:
    """The same package as another version, quickly packed; breaks: its daemon does not start."""
    version = f"{read_package(_package()).version}+{suffix}{int(time.time())}"
    tree, out = RUN / "tree", RUN / f"emotion-edge_{version}_arm64.deb"
    shutil.rmtree(tree, ignore_errors=True)
    for old in RUN.glob("emotion-edge_*.deb"):
        old.unlink()
    subprocess.run(["dpkg-deb", "-R", str(_package()), str(tree)], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("".join(f"Version: {version}\n" if x.startswith("Version:") else f"{x}\n" for x in lines))
    if breaks:
        service = next(tree.glob("opt/emotion-edge/lib/python*/site-packages/edge/daemon/run.py"))
        service.write_text(service.read_text() + "\nraise SystemExit('broken on purpose')\n")
    subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "-b", str(tree), str(out)], check=True)
    shutil.rmtree(tree)
    proof.say(f"packed {version}")
    return out


def _push(proof: Proof, package: Path, well: bool, patience: int = SLOW) -> None:
    started = time.monotonic()
    done = push_all([proof.machine.host], package, patience, proof.machine.options)
    verdict = proof.machine.shell(f"cat {HOME}/result")
    proof.say(f"push took {time.monotonic() - started:.0f} s: {verdict}")
    if done != well or not verdict.startswith("ok " if well else "rolled-back "):
        raise EmotionEdgeError(f"the push came to: {verdict}")


def _deploy(*words: str) -> None:
    if subprocess.run([sys.executable, "-m", "deploy.cli", *words], cwd=ROOT, check=False).returncode:
        raise EmotionEdgeError(f"emotion-deploy {words[0]} failed")


def main() -> int:
    """`python -m deploy.emulated.proof [STEP ...]`: all steps, or these. Status 1 where one failed."""
    names = [step.__name__ for step in STEPS]
    parser = argparse.ArgumentParser(prog="make board", description=__doc__)
    parser.add_argument("steps", nargs="*", choices=[*names, []], metavar="STEP", help=", ".join(names))
    chosen = parser.parse_args().steps or names
    os.nice(5)
    RUN.mkdir(parents=True, exist_ok=True)
    with (RUN / "proof.log").open("a") as log:
        proof = None
        try:
            base.build()
            proof = Proof(log)
            for step in STEPS:
                if step.__name__ in chosen:
                    proof.say(f"== {step.__name__}: {(step.__doc__ or '').splitlines()[0]}")
                    step(proof)
            proof.say("== all done")
        except EmotionEdgeError as error:
            (proof.say if proof else print)(f"FAILED: {error}")
            return 1
        finally:
            if proof:
                proof.machine.unplug()
    return 0


if __name__ == "__main__":
    sys.exit(main())
