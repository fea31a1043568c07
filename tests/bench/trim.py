"""Measures what returning free memory to the system costs, as the analysis thread does with each report of statistics.

python -m tests.bench.trim
"""

import time

from edge.system.process import return_free_memory, use_one_heap

_SIZES = (8_000, 60_000, 100_000)
_KEPT_EVERY = 20


def main() -> None:
    """Print wall and processor time for several amounts of free memory, with a used block among each 20 free ones."""
    use_one_heap()
    kept: list[bytes] = []
    for megabytes in (0, 1, 10, 50, 100):
        for size in _SIZES:
            blocks = [bytes(size) for _ in range(int(megabytes * 1e6 / len(_SIZES) / size))]
            kept += blocks[::_KEPT_EVERY]
            del blocks
        wall, processor = time.perf_counter(), time.thread_time()
        return_free_memory()
        wall, processor = time.perf_counter() - wall, time.thread_time() - processor
        print(f"{megabytes:4d} MB free: {1000 * wall:6.2f} ms, {1000 * processor:5.2f} ms of processor time")


if __name__ == "__main__":
    main()
