"""Ends a process whose event loop is stuck: a supervisor can start a process anew, nobody can mend a stuck one."""

import asyncio
import faulthandler
import os
import threading
from collections.abc import Callable

CHECK_S = 5.0
MISSED_CHECKS = 5
EX_SOFTWARE = 70


def watch_event_loop(*, check_s: float = CHECK_S, missed_checks: int = MISSED_CHECKS) -> Callable[[], None]:
    """Watch the running loop from a thread; returns what stops the watch.

    Counts checks rather than reading a clock, so that a process that was suspended as a whole is not ended.
    """
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def watch() -> None:
        missed = 0
        while not stop.wait(check_s):
            answered = threading.Event()
            try:
                loop.call_soon_threadsafe(answered.set)
            except RuntimeError:
                return
            missed = 0 if answered.wait(check_s) else missed + 1
            if missed >= missed_checks:
                faulthandler.dump_traceback(all_threads=True)
                os._exit(EX_SOFTWARE)

    threading.Thread(target=watch, name="event-loop-watchdog", daemon=True).start()
    return stop.set
