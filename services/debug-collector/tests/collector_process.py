"""The collector as a process of its own that can be killed; `python collector_process.py` is that process.

It waits one second for an acknowledgement instead of fifteen, so that a test need not.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL

from fluxline.contracts import catalog
from servers import answers

ACK_WAIT_S = 1.0
QUICK = replace(catalog.COLLECTOR, ack_wait_s=ACK_WAIT_S)


class CollectorProcess:
    """Started with `start`, ended with `kill` (as a crash would) or `stop`."""

    def __init__(self, nats_url: str, database_url: str, port: int) -> None:
        self._port = port
        self._environment = os.environ | {
            "NATS_URL": nats_url,
            "DATABASE_URL": database_url,
            "COLLECTOR_TOKEN": "collector-token-of-the-tests",
            "COLLECTOR_HTTP_PORT": str(port),
            "PYTHONPATH": str(Path(__file__).parents[3] / "tests"),
            "LOG_SHIPPING": "false",
        }
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; it is not ready yet."""
        self._child = subprocess.Popen(
            [sys.executable, __file__], env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def is_ready(self) -> bool:
        """Whether it consumes."""
        return answers(f"http://127.0.0.1:{self._port}/readyz", 200)

    @property
    def rss_bytes(self) -> int:
        """The memory it has."""
        assert self._child
        pages = int(Path(f"/proc/{self._child.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """End it at once."""
        if self._child:
            self._child.send_signal(SIGKILL)
            self._child.wait(10)
            self._child = None


if __name__ == "__main__":
    catalog.COLLECTOR = QUICK
    from fluxline_collector.app import main

    sys.exit(main())
