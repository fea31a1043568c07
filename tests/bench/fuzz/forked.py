"""Runs a model's self-test in a process forked from one with the libraries imported, which saves a second each.

The process has the same limits as that of `check_in_process`, and runs the same code.
"""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast
from unittest import mock

from edge.model_updates import install, isolated_test
from edge.models.runtime import MODULES, Runtime, RuntimeChoice, choose


def _answer(folder: Path, name: str, out: Connection) -> None:
    out.send_bytes(isolated_test.answer_for(folder, cast(RuntimeChoice, name)).encode())
    os._exit(0)


@contextmanager
def forked_self_tests() -> Iterator[None]:
    """Context manager: makes `install` run its self-tests in forked processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.bench.fuzz.kinds", MODULES[choose().name]])
    first = context.Process(target=choose)
    first.start()  # starts the process from which others are forked, which counts as memory at rest
    first.join()

    def check(folder: Path, runtime: Runtime) -> bool:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_answer, args=(folder, runtime.name, theirs))
        process.start()
        theirs.close()
        output = b""
        try:
            if ours.poll(isolated_test.TIMEOUT_S):
                output = ours.recv_bytes()
        except EOFError:  # it ended without an answer
            pass
        process.join(5)
        process.kill()
        process.join()
        ours.close()
        return isolated_test.verdict(folder, output, process.exitcode or 0)

    with mock.patch.object(install, "check_in_process", check):
        yield
