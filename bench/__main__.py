"""Every bench, one after the other: `python -m bench [NAME...]`, or `make bench`.

Each is a process of its own and writes bench/results/NAME.json; those that compare write their section of
docs/performance.md too. One that fails is told at the end and keeps the others from nothing.
"""

import subprocess
import sys
from typing import Final

from bench.measure import RESULTS, ROOT

BENCHES: Final = {
    "archive": ["-m", "bench.archive"],
    "pipeline": ["-m", "bench.pipeline"],
    "collector": ["bench/collector.py", "--rounds", "5", "--json", str(RESULTS / "collector.json")],
    "streams": ["bench/streams.py", "--json", str(RESULTS / "streams.json")],
    "pages": ["bench/pages.py"],
}


def main(names: list[str]) -> int:
    """Run those benches, all when none is named; the number of those that failed."""
    if unknown := set(names) - set(BENCHES):
        sys.exit(f"There is no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}.")
    RESULTS.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names or BENCHES:
        print(f"── {name}", flush=True)
        if subprocess.run([sys.executable, *BENCHES[name]], cwd=ROOT).returncode:
            failed.append(name)
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
