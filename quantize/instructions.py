"""Counts the instructions of an inference on Arm under emulation: `python -m quantize.instructions MODEL...`.

This is a repeatable cost without a board: two counts of a file differ by parts in ten thousand. The cost of an
inference is the mean of REPEATS, counted between two marks within one run, to exclude start and load, whose count
varies by up to a million. Instructions are not time: int8 also moves a quarter of the bytes.
"""

import argparse
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError
from quantize.arm import CACHE, CPUS, emulated, missing

WARM, REPEATS = 2, 10
RUNTIME: Final = "ai-edge-litert"
# Declarations of the used part of qemu's plugin interface, version 1, as no Debian 12 package has its header.
PLUGIN: Final = """\
#include <stdint.h>
#include <stdio.h>
#include <string.h>
typedef uint64_t id;
struct tb;
extern void qemu_plugin_register_vcpu_tb_trans_cb(id, void (*)(id, struct tb *));
extern size_t qemu_plugin_tb_n_insns(const struct tb *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct tb *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_syscall_cb(id, void (*)(id, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                                             uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));
extern void qemu_plugin_register_atexit_cb(id, void (*)(id, void *), void *);
enum { GETPPID = 173 };
int qemu_plugin_version = 1;
static uint64_t count;
static FILE *file;
static void mark(void) { fprintf(file, "%llu\\n", (unsigned long long) count); }
static void translated(id plugin, struct tb *block) {
    qemu_plugin_register_vcpu_tb_exec_inline(block, 0, &count, qemu_plugin_tb_n_insns(block));
}
static void called(id plugin, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                   uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    if (number == GETPPID) mark();
}
static void done(id plugin, void *unused) { mark(); fclose(file); }
int qemu_plugin_install(id plugin, const void *info, int argc, char **argv) {
    if (argc < 1 || strncmp(argv[0], "out=", 4)) return 1;
    if (!(file = fopen(argv[0] + 4, "w"))) return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(plugin, translated);
    qemu_plugin_register_vcpu_syscall_cb(plugin, called);
    qemu_plugin_register_atexit_cb(plugin, done, 0);
    return 0;
}
"""
# os.getppid() marks a place: nothing else in the program makes this system call.
SCRIPT: Final = """\
import os
import sys
from pathlib import Path
import numpy as np
from edge.models.runtime import Network, choose
network = Network(Path(sys.argv[1]), choose(sys.argv[2]))
(image,) = network.inputs.values()
pixels = np.random.default_rng(0).integers(0, 127, image.shape).astype(image.dtype)
for repeats in sys.argv[3:]:
    for _ in range(int(repeats)):
        network(pixels)
    os.getppid()
"""


def instructions(path: Path, cpu: str, runtime: str = RUNTIME) -> float:
    """Count the instructions of one inference of a TFLite file on one thread of an emulated core.

    Raises EmotionEdgeError if the emulation is not ready or fails.
    """
    begin, end, _ = counts(["-c", SCRIPT, str(path.resolve()), runtime, str(WARM), str(REPEATS)], cpu, runtime)
    return (end - begin) / REPEATS


def count(arguments: Sequence[str], cpu: str, packages: str) -> int:
    """Count all instructions of an emulated Python program.

    Args:
        arguments: command-line arguments of Python.
        cpu: the core to emulate.
        packages: one of the folders of `quantize.arm.WHEELS`.

    Raises:
        EmotionEdgeError: The emulation is not ready, the plugin cannot be built, or the program fails.
    """
    return counts(arguments, cpu, packages)[-1]


def counts(arguments: Sequence[str], cpu: str, packages: str) -> list[int]:
    """Count the instructions of an emulated Python program up to each call of `os.getppid`, and in total (last).

    arguments: command-line arguments of Python. cpu: the core to emulate. packages: one of the folders of
    `quantize.arm.WHEELS`. Raises EmotionEdgeError if the emulation is not ready, the plugin cannot be built, or the
    program fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "count"
        start = emulated(packages, cpu, Path(f"{_plugin()},out={out}"))
        command = [*start.prefix, *arguments]
        done = subprocess.run(command, env=dict(start.environment), capture_output=True, text=True, check=False)
        if done.returncode or not out.exists():
            message = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            raise EmotionEdgeError(f"{packages} under {cpu}: {' '.join(arguments[-2:])} fails: {message[0]}")
        return [int(line) for line in out.read_text().split()]


def _plugin(folder: Path = CACHE) -> Path:
    if reason := missing(folder):
        raise EmotionEdgeError(f"emulated aarch64: {reason}")
    # The file is named by a hash of its source, so that a changed source is built again.
    built = folder / f"libinsn-{zlib.crc32(PLUGIN.encode()):08x}.so"
    if not built.exists():
        command = ["gcc", "-shared", "-fPIC", "-O2", "-x", "c", "-", "-o", str(built)]
        try:
            subprocess.run(command, input=PLUGIN, text=True, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise EmotionEdgeError(f"counting plugin: gcc does not build it: {error}") from error
    return built


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, or 2 after an error of the user, printed as one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m quantize.instructions", description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.tflite")
    parser.add_argument("--runtime", choices=("ai-edge-litert", "tflite-runtime"), default=RUNTIME)
    options = parser.parse_args(arguments)
    print(f"{'millions of instructions an image':<44}" + "".join(f"{cpu:>14}" for cpu in CPUS))
    try:
        for path in options.models:
            millions = [instructions(path, cpu, options.runtime) / 1e6 for cpu in CPUS]
            print(f"{path!s:<44}" + "".join(f"{each:>14.2f}" for each in millions))
    except EmotionEdgeError as error:
        print(f"instructions: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
