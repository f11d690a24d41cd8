"""The record of calls: whatever wanted to change something, and whatever was refused, by whom, when and from where.

A middleware notes, the background writes: each second, in batches, at least once (a write in doubt is repeated).
"""

from collections import Counter as Tally
from collections import deque
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import quote
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import current_trace
from fluxline.runtime.redaction import redact_text
from fluxline_gateway.identity.keys import Executor, Principal

FLUSH_S: Final = 1.0
KEEP: Final = timedelta(days=90)
MAX_WAITING: Final = 10_000
"""Entries in memory while PostgreSQL is away; those after it are counted and forgotten."""
MAX_FLOOD: Final = 100
"""From one write to the next, entries without an owner, and an owner's that were too many: no flood fills the disk."""
MAX_PATH_CHARS: Final = 500
_BATCH: Final = 1000
_PREFIX: Final = "/v1/"
_CHANGES_NOTHING: Final = ("GET", "HEAD", "OPTIONS")
_REFUSED: Final = (401, 403, 429)

_WRITE = """
INSERT INTO key_audit (at, owner, key_id, method, path, status, client, trace_id)
SELECT * FROM unnest(
    $1::timestamptz[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::integer[], $7::text[], $8::text[]
)
"""
_PURGE = "DELETE FROM key_audit WHERE at < now() - $1::interval"


class Entry(NamedTuple):
    """One call; `path` is percent-encoded and without its query, `client` is an address."""

    at: datetime
    owner: str | None
    key_id: UUID | None
    method: str
    path: str
    status: int
    client: str | None
    trace_id: str | None


class Audit:
    """The entries that are not written yet."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._waiting: deque[Entry] = deque()
        self._flood: Tally[str | None] = Tally()
        self.dropped = Counter(
            "fluxline_audit_dropped", "Calls that were not recorded, by reason", ("reason",), registry=registry
        )

    def add(self, entry: Entry) -> None:
        """Note a call; costs no waiting."""
        if len(self._waiting) >= MAX_WAITING:
            self.dropped.labels("database").inc()
        elif (entry.owner is None or entry.status == 429) and self._flood[entry.owner] >= MAX_FLOOD:
            self.dropped.labels("flood").inc()
        else:
            self._flood[entry.owner] += entry.owner is None or entry.status == 429
            self._waiting.append(entry)

    async def flush(self, database: Database) -> None:
        """Write what is noted; what could not be written stays. One at a time."""
        while batch := list(islice(self._waiting, _BATCH)):
            columns = [list(column) for column in zip(*batch, strict=True)]
            await database.pool.execute(_WRITE, *columns)
            for _ in batch:
                self._waiting.popleft()
            self._flood.clear()


async def purge(connection: Executor) -> None:
    """Forget the calls of 90 days ago and more."""
    await connection.execute(_PURGE, KEEP)


class AuditTrail:
    """Notes every call that is not a read, and every one that was answered 401, 403 or 429."""

    def __init__(self, app: ASGIApp, audit: Audit) -> None:
        self.app = app
        self.audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; who asked is found in the request's state afterwards."""
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            return await self.app(scope, receive, send)
        scope.setdefault("state", {})
        status, trace = 500, {}  # what becomes of a crash

        async def send_noted(message: Message) -> None:
            nonlocal status, trace
            if message["type"] == "http.response.start":
                status, trace = message["status"], current_trace()
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        finally:
            if status in _REFUSED or scope["method"] not in _CHANGES_NOTHING:
                self.audit.add(_entry(scope, status, trace.get("traceparent")))


def _entry(scope: Scope, status: int, traceparent: str | None) -> Entry:
    principal: Principal | None = scope["state"].get("principal")
    client = scope.get("client")
    return Entry(
        at=datetime.now(UTC),
        owner=principal.owner if principal else None,
        key_id=principal.key_id if principal else None,
        method=quote(scope["method"])[:16],
        path=redact_text(quote(scope["path"], errors="replace"))[:MAX_PATH_CHARS],
        status=status,
        client=quote(client[0], safe=":.%[]")[:64] if client else None,
        trace_id=traceparent.split("-")[1] if traceparent else None,
    )
