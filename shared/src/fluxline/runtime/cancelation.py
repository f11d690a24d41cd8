"""Ending with the process, also when nats-py has kept the cancelation to itself."""

import asyncio


def raise_if_canceled() -> None:
    """Raise `CancelledError` when the running task was cancelled and goes on nevertheless.

    nats-py (2.12, `Client._flush_pending`) swallows a cancelation that meets it while it writes, and turns others into
    errors of its own. A loop that talks to NATS asks here on each round, or it would hold up the end of its process.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
