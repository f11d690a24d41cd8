"""The bench of the collector's rate measures what it says: every way stores every event. Its figures are not judged."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[3] / "bench" / "collector.py"


async def test_the_bench_stores_every_event_in_every_way(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH), "--events", "300", "--rounds", "1", "--json", str(tmp_path / "found.json")]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert list(found["events_per_second"]) == ["per event", "100 at once", "collector", "bare COPY"]
    assert all(rate > 0 for rates in found["events_per_second"].values() for rate in rates)
    assert "collector" in done.stdout
