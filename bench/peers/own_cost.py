"""What a bench's child process tells about itself: CPU and wall time of its work, and its peak memory."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def told(**facts: Any) -> Iterator[None]:
    """Print, as JSON, what the block cost: seconds of CPU of all threads, seconds, and MiB at the peak (Linux)."""
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    cost = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    print(json.dumps(facts | cost | {"peak_mib": peak_mib()}))


def peak_mib() -> float:
    """Of this program alone: `ru_maxrss` knows the parent's memory as well, from before the program was loaded."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
