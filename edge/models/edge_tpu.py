"""A Coral Edge TPU: whether one is here, and a network on it that lives through its being pulled out.

What there is to know of the device: its USB and PCIe names are those of coral.ai/docs ("Get started with the USB
Accelerator", "... with the M.2 or Mini PCIe Accelerator").
"""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy.typing as npt

from edge.system.backoff import Backoff
from edge.system.threads import start_worker

_log = logging.getLogger(__name__)

AcceleratorChoice = Literal["auto", "cpu", "edgetpu"]
Run = Callable[[npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]
"""A batch [n, height, width, channels] to the outputs as real values [n, ...], by name."""

EDGE_TPU_FILE: Final = "model_edgetpu.tflite"
"""A model compiled for the Edge TPU, beside the model.tflite that it is compiled from."""
LIBRARY: Final = "libedgetpu.so.1"
USB_IDS: Final = ("1a6e:089a", "18d1:9302")
"""Vendor and product of the USB Accelerator before its first use, when it waits for its firmware, and after."""
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
"""Seconds until the device is looked for again: at first, doubled each time, at most."""
TRIAL_S: Final = 30.0
"""A first use takes some seconds, in which the device gets its firmware."""


@dataclass(frozen=True, slots=True)
class EdgeTpu:
    """How to reach one. library: its delegate, as the dynamic linker finds it. find: where the device is, or None."""

    library: str
    find: Callable[[], str | None]


def chosen(choice: AcceleratorChoice) -> EdgeTpu | None:
    """The Edge TPU of a setting: None for `cpu`; for `edgetpu` one that is taken to be there."""
    match choice:
        case "cpu":
            return None
        case "auto":
            return EdgeTpu(LIBRARY, find_edge_tpu)
        case _:
            return EdgeTpu(LIBRARY, lambda: find_edge_tpu() or "not found, but tried")


def outlook(choice: AcceleratorChoice) -> str:
    """What a setting comes to on this machine, in words."""
    if choice == "cpu":
        return "switched off, the processor runs the networks"
    if where := find_edge_tpu():
        return f"an Edge TPU ({where}), for models that are compiled for it"
    if choice == "edgetpu":
        return "an Edge TPU that was not found, but is tried (runtime.accelerator), for models that are compiled for it"
    return "no Edge TPU is found, the processor runs the networks"


def find_edge_tpu(usb: Path = Path("/sys/bus/usb/devices"), devices: Path = Path("/dev")) -> str | None:
    """Where an Edge TPU is, on PCIe or USB, in words; None where there is none."""
    if (apex := devices / "apex_0").exists():
        return f"PCIe, {apex}"
    for device in sorted(usb.glob("*/idVendor")):
        try:
            ids = ":".join((device.parent / name).read_text().strip() for name in ("idVendor", "idProduct"))
        except OSError:  # pulled out this moment
            continue
        if ids in USB_IDS:
            return f"USB {device.parent.name}, {ids}"
    return None


def trial(interpreter: str, library: str, model: Path) -> str:
    """Why a compiled model cannot run here, or nothing where it can.

    It is tried in a process of its own: a library that was built for another interpreter ends the process it is in.
    interpreter: module with Interpreter and load_delegate.
    """
    command = [sys.executable, "-c", _TRIAL, *(key := (interpreter, library, str(model)))]
    if key in _passed:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the trial did not end: {error}"
    if done.returncode < 0:
        return f"{library} is built for another interpreter than {interpreter}: it crashes (signal {-done.returncode})"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["the trial failed"])[-1]
    _passed.add(key)
    return ""


_passed: Final[set[tuple[str, str, str]]] = set()
_TRIAL: Final = """
import importlib, os, sys
try:
    module = importlib.import_module(sys.argv[1])
    delegate = module.load_delegate(sys.argv[2])
    interpreter = module.Interpreter(model_path=sys.argv[3], experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    interpreter.invoke()
except Exception as error:
    print(" ".join(str(error).split()), file=sys.stderr, flush=True)
    os._exit(1)
"""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


class Attached:
    """A network on an Edge TPU that may come and go. Belongs to one thread; looks for the device in another."""

    def __init__(self, name: str, edge_tpu: EdgeTpu, load: Callable[[], Run]) -> None:
        """name: of the model, for the log. load: gives the network, ready to run; it may raise whatever it likes."""
        self._name = name
        self._find = edge_tpu.find
        self._load = load
        self._run: Run | None = None
        self._failed: Run | None = None
        self._said = ""
        self._since = 0.0
        self._backoff, self._due = Backoff(FIRST_WAIT, LONGEST_WAIT), 0.0
        self._looking: threading.Thread | None = None
        self._look()

    @property
    def running(self) -> bool:
        """Whether the next call goes to the Edge TPU."""
        return self._run is not None

    def __call__(self, images: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[Any]] | None:
        """What the network says, as it stores it, or None: the processor has to do it."""
        if self._run:
            try:
                return self._run(images)
            except (RuntimeError, ValueError) as error:
                # To let go of a device that is gone may take long, so another thread does it.
                self._failed, self._run = self._run, None
                self._say(logging.WARNING, f"the Edge TPU failed ({_line(error)}); on the processor until it is back")
                self._backoff.worked(time.monotonic() - self._since)
                self._put_off()
        elif time.monotonic() >= self._due and not (self._looking and self._looking.is_alive()):
            self._looking = start_worker("edge-tpu", self._look)
        return None

    def _look(self) -> None:
        self._failed = None
        where = self._find()
        try:
            if where:
                self._run = self._load()
                self._since = time.monotonic()
                self._say(logging.INFO, f"on the Edge TPU ({where})")
                return
            self._say(logging.INFO, "on the processor, no Edge TPU is found")
        except Exception as error:  # of a library from elsewhere
            self._say(logging.WARNING, f"on the processor, the Edge TPU cannot be used: {_line(error)}")
        self._put_off()

    def _put_off(self) -> None:
        self._due = time.monotonic() + self._backoff.next()

    def _say(self, level: int, text: str) -> None:
        if text != self._said:
            self._said = text
            _log.log(level, "%s: %s", self._name, text)
