"""Finds a Coral Edge TPU and runs a network on it; while it is unplugged, the processor runs the network.

USB and PCIe names are those of coral.ai/docs ("Get started with the USB Accelerator", "... with the M.2 or Mini PCIe
Accelerator").
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
"""Runs a network on a batch [n, height, width, channels]; returns its outputs [n, ...] by name, quantized as stored."""

EDGE_TPU_FILE: Final = "model_edgetpu.tflite"
"""Name of the file compiled for the Edge TPU, beside the model.tflite from which it was compiled."""
LIBRARY: Final = "libedgetpu.so.1"
USB_IDS: Final = ("1a6e:089a", "18d1:9302")
"""Vendor and product ids of the USB Accelerator: while it waits for its firmware, and after the first use."""
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
"""Back-off of looking for an unplugged device, in seconds: FIRST_WAIT, doubled each time, up to LONGEST_WAIT."""
TRIAL_S: Final = 30.0
"""Seconds that the trial run of a compiled model may take; loading the firmware takes some."""


@dataclass(frozen=True, slots=True)
class EdgeTpu:
    """An Edge TPU. library: file name of its delegate. find: returns its place as text, or None if it is unplugged."""

    library: str
    find: Callable[[], str | None]


def edge_tpu_for(choice: AcceleratorChoice) -> EdgeTpu | None:
    """Return the Edge TPU for a setting; None for `cpu`. With `edgetpu`, it is tried even if none is found."""
    match choice:
        case "cpu":
            return None
        case "auto":
            return EdgeTpu(LIBRARY, find_edge_tpu)
        case _:
            return EdgeTpu(LIBRARY, lambda: find_edge_tpu() or "not found, but tried")


def accelerator_text(choice: AcceleratorChoice) -> str:
    """Describe the accelerator that a setting uses on this machine."""
    if choice == "cpu":
        return "switched off, the processor runs the networks"
    if where := find_edge_tpu():
        return f"an Edge TPU ({where}), for models that are compiled for it"
    if choice == "edgetpu":
        return "an Edge TPU that was not found, but is tried (runtime.accelerator), for models that are compiled for it"
    return "no Edge TPU is found, the processor runs the networks"


def find_edge_tpu(usb: Path = Path("/sys/bus/usb/devices"), devices: Path = Path("/dev")) -> str | None:
    """Describe where an Edge TPU is connected, PCIe or USB; None if there is none."""
    if (apex := devices / "apex_0").exists():
        return f"PCIe, {apex}"
    for device in sorted(usb.glob("*/idVendor")):
        try:
            ids = ":".join((device.parent / name).read_text().strip() for name in ("idVendor", "idProduct"))
        except OSError:
            # The device was unplugged meanwhile.
            continue
        if ids in USB_IDS:
            return f"USB {device.parent.name}, {ids}"
    return None


def edge_tpu_problem(interpreter: str, library: str, model: Path) -> str:
    """Describe why a compiled model cannot run on this machine; empty if it can.

    The model is tried in a process of its own: a delegate that was built for another interpreter crashes its process.

    Args:
        interpreter: name of the module with Interpreter and load_delegate.
        library: file name of the Edge TPU's delegate.
        model: the compiled model.
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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


class EdgeTpuNetwork:
    """A network on an Edge TPU that may be unplugged. Not thread-safe; a thread of its own looks for the device."""

    def __init__(self, name: str, edge_tpu: EdgeTpu, load: Callable[[], Run]) -> None:
        """Load the network. name: of the model, for the log. load: returns the network, or raises any exception."""
        self._name = name
        self._find = edge_tpu.find
        self._load = load
        self._run: Run | None = None
        self._failed: Run | None = None
        self._logged = ""
        self._since = 0.0
        self._backoff, self._due = Backoff(FIRST_WAIT, LONGEST_WAIT), 0.0
        self._opening: threading.Thread | None = None
        self._open()

    @property
    def running(self) -> bool:
        """Whether the next call runs on the Edge TPU."""
        return self._run is not None

    def __call__(self, images: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[Any]] | None:
        """Return the quantized outputs by name, or None if the processor must run the network."""
        if self._run:
            try:
                return self._run(images)
            except (RuntimeError, ValueError) as error:
                # Closing an unplugged device may take long, so another thread does it.
                self._failed, self._run = self._run, None
                self._log_once(
                    logging.WARNING, f"the Edge TPU failed ({_one_line(error)}); on the processor until it is back"
                )
                self._backoff.worked(time.monotonic() - self._since)
                self._schedule_retry()
        elif time.monotonic() >= self._due and not (self._opening and self._opening.is_alive()):
            self._opening = start_worker("edge-tpu", self._open)
        return None

    def _open(self) -> None:
        self._failed = None
        where = self._find()
        try:
            if where:
                self._run = self._load()
                self._since = time.monotonic()
                self._log_once(logging.INFO, f"on the Edge TPU ({where})")
                return
            self._log_once(logging.INFO, "on the processor, no Edge TPU is found")
        except Exception as error:
            # The library may raise any exception.
            self._log_once(logging.WARNING, f"on the processor, the Edge TPU cannot be used: {_one_line(error)}")
        self._schedule_retry()

    def _schedule_retry(self) -> None:
        self._due = time.monotonic() + self._backoff.next()

    def _log_once(self, level: int, text: str) -> None:
        if text != self._logged:
            self._logged = text
            _log.log(level, "%s: %s", self._name, text)
