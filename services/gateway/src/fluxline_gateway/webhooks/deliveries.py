"""Deliveries of webhooks: rows that say what is to be sent where, claimed by one sender at a time under a lease.

A row is made in the transaction that changes what it tells of. All replicas send from the same table; a sender that
dies leaves its claim to the next one, so a receiver may get a delivery twice, under the same `webhook-id`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid5

import asyncpg

from fluxline.postgres.pool import Connection, Database
from fluxline_gateway.identity.keys import Executor
from fluxline_gateway.trainings.state import TrainingState
from fluxline_gateway.trainings.views import training_out
from fluxline_gateway.webhooks.bodies import TrainingWebhook
from fluxline_gateway.webhooks.schedule import Attempt, Verdict

KEEP: Final = timedelta(days=30)
"""How long a delivery that has ended can be looked at and sent again."""
VISIBLE: Final = "NOT EXISTS (SELECT FROM trainings AS t WHERE t.id = training_id AND t.deleting)"
"""A delivery goes with its training: it is neither shown nor sent once the training is to be deleted."""
_ADD = """
INSERT INTO webhook_deliveries (id, owner, training_id, url, type, payload, status, next_attempt_at)
VALUES ($1, $2, $3, $4, $5, $6, 'pending', clock_timestamp()) ON CONFLICT (id) DO NOTHING RETURNING *
"""
_CLAIM = f"""
WITH RECURSIVE known AS (
    (SELECT host FROM webhook_deliveries WHERE status = 'pending' ORDER BY host LIMIT 1)
    UNION ALL
    SELECT (
        SELECT host FROM webhook_deliveries WHERE status = 'pending' AND host > known.host ORDER BY host LIMIT 1
    ) FROM known WHERE known.host IS NOT NULL
), hosts AS MATERIALIZED (
    SELECT known.host, $2::int - coalesce(busy.sends, 0) AS free
    FROM known LEFT JOIN unnest($3::text[], $4::int[]) AS busy (host, sends) ON busy.host = known.host
    WHERE coalesce(busy.sends, 0) < $2 AND known.host IS NOT NULL
    ORDER BY random()
), picked AS (
    SELECT found.id FROM hosts CROSS JOIN LATERAL (
        SELECT id FROM webhook_deliveries
        WHERE status = 'pending' AND next_attempt_at <= now() AND host = hosts.host AND {VISIBLE}
        ORDER BY next_attempt_at LIMIT hosts.free FOR UPDATE SKIP LOCKED
    ) AS found LIMIT $1
)
UPDATE webhook_deliveries AS claimed
SET attempts = attempts + 1, step = step + 1, next_attempt_at = now() + $5::interval
FROM picked WHERE claimed.id = picked.id RETURNING claimed.*
"""  # noqa: S608  # a constant condition
"""Steps from host to host through the index, and takes some of each in no order: much to send is no right of way."""
_LOCK = "SELECT true FROM webhook_deliveries WHERE id = $1 FOR UPDATE"
_LOG = """
INSERT INTO webhook_attempts (delivery_id, number, at, duration_ms, status_code, error, answer)
VALUES ($1, $2, now() - make_interval(secs => $3 / 1000.0), $3::int, $4, $5, $6) ON CONFLICT DO NOTHING
"""
_SETTLE = """
UPDATE webhook_deliveries
SET status = $4, next_attempt_at = now() + $5::interval, ended_at = CASE WHEN $4 <> 'pending' THEN now() END
WHERE id = $1 AND attempts = $2 AND step = $3 RETURNING true
"""
_PURGE = "DELETE FROM webhook_deliveries WHERE status <> 'pending' AND ended_at < now() - $1::interval"
_BACKLOG = f"""
SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age_s,
    coalesce(greatest(extract(epoch FROM now() - min(next_attempt_at)), 0), 0)::float8 AS overdue_s
FROM webhook_deliveries WHERE status = 'pending' AND {VISIBLE}
"""  # noqa: S608  # a constant condition


@dataclass(frozen=True)
class Claim:
    """A delivery that this sender alone is to try now; `number` is its attempt's, `step` the one of its schedule."""

    id: UUID
    owner: str
    url: str
    host: str
    type: str
    payload: str
    number: int
    step: int


@dataclass(frozen=True)
class Backlog:
    """Seconds since the oldest pending delivery was made, and since the first one that is due could have been sent."""

    age_s: float
    overdue_s: float


async def tell_status(connection: Connection, row: asyncpg.Record, state: TrainingState) -> None:
    """Have the training's new status sent, in the transaction that changes it, if its owner wants to hear of it.

    `row` is of `trainings` as it is saved. The same change told again is the same delivery.
    """
    if row["deleting"] or not json.loads(row["request"]).get("webhook_url"):
        return
    shown = training_out(row)
    if shown.webhook_url is None:
        return
    type_ = f"training.{state.status}"
    delivery_id = uuid5(row["id"], f"webhook#{type_}/{state.run}/{state.sequence}")
    body = TrainingWebhook(type=type_, timestamp=row["updated_at"], data=shown).model_dump_json()
    await add(connection, delivery_id, row["owner"], shown.webhook_url, type_, body, training_id=row["id"])


async def add(
    connection: Connection,
    delivery_id: UUID,
    owner: str,
    url: str,
    type_: str,
    payload: str,
    *,
    training_id: UUID | None = None,
) -> asyncpg.Record | None:
    """The new row, to be sent at once; None when there is one with this id."""
    return await connection.fetchrow(_ADD, delivery_id, owner, training_id, url, type_, payload)


async def claim(
    database: Database, limit: int, *, per_host: int, busy: Mapping[str, int], lease: timedelta
) -> list[Claim]:
    """At most `limit` deliveries that are due, `per_host` of each host with those that are `busy` already.

    They are this sender's until the lease ends.
    """
    arguments = (limit, per_host, list(busy), list(busy.values()), lease)
    async with database.transaction() as connection:
        rows = await connection.fetch(_CLAIM, *arguments)
    names = ("id", "owner", "url", "host", "type", "payload", "step")
    return [Claim(number=row["attempts"], **{name: row[name] for name in names}) for row in rows]


async def settle(database: Database, claimed: Claim, attempt: Attempt, verdict: Verdict) -> bool:
    """Write down the attempt and what follows from it.

    False when nothing follows: the delivery is gone, was asked for again, or is another sender's since the lease ended.
    """
    wait = None if verdict.wait_s is None else timedelta(seconds=verdict.wait_s)
    facts = (attempt.duration_ms, attempt.status_code, attempt.error, attempt.answer)
    async with database.transaction() as connection:
        if not await connection.fetchval(_LOCK, claimed.id):
            return False
        await connection.execute(_LOG, claimed.id, claimed.number, *facts)
        settled = await connection.fetchval(_SETTLE, claimed.id, claimed.number, claimed.step, verdict.status, wait)
    return settled is not None


async def backlog(connection: Executor) -> Backlog:
    """What waits to be sent."""
    row = await connection.fetchrow(_BACKLOG)
    assert row is not None  # noqa: S101  # an aggregate has one row
    return Backlog(**row)


async def purge(connection: Executor, keep: timedelta = KEEP) -> None:
    """Forget deliveries that ended longer ago than that, with their attempts."""
    await connection.execute(_PURGE, keep)
