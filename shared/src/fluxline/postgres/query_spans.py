"""A span for each statement that a request or a handler waits for, by OpenTelemetry's conventions for databases.

Told by asyncpg after the statement. Statements have their values beside them, so that none of these is shown; what no
span waits for (sweeps, relays, polls) makes none.
"""

import time
from typing import Any, Final

import asyncpg
from asyncpg.connection import LoggedQuery
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from fluxline.runtime.spans import completed

MAX_STATEMENT_CHARS: Final = 500
_OWN: Final = ("BEGIN;", "COMMIT;", "ROLLBACK;", "SELECT pg_advisory", "\nSELECT pg_advisory")


async def watch(connection: "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[Any]") -> None:
    """Have the connection's statements told; for a pool's `init`."""
    connection.add_query_logger(_tell)


def _tell(query: LoggedQuery) -> None:
    if not trace.get_current_span().is_recording() or query.query.startswith(_OWN):
        return
    statement = " ".join(query.query.split())
    operation = statement.partition(" ")[0].upper()
    error = type(query.exception).__name__ if query.exception else None
    completed(
        f"postgresql {operation}",
        time.time_ns() - int(query.elapsed * 1e9),
        {
            "db.system.name": "postgresql",
            "db.operation.name": operation,
            "db.query.text": statement[:MAX_STATEMENT_CHARS],
        },
        kind=SpanKind.CLIENT,
        error=error,
        said=error or "",
    )
