"""What owners may spend, have spent, and have reserved for what runs.

Each run that costs money reserves its likely cost in the transaction that asks for it; the projection puts the real
cost in its place, and ends the reservation with the run. Where the provider tells no cost, a run that succeeded counts
as estimated, and one that was stopped by the time since the provider began, at most as estimated: else who cancels
late would train for nothing. What never got to the provider counts nothing.

Locks: whoever is limited takes the owner's advisory lock, which makes parallel requests on any gateway wait for each
other. It is the last lock of its transaction: who holds it waits for nobody, so there is no deadlock. An owner with
neither cap nor limit takes none.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

import asyncpg
from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.job import Cost
from fluxline.postgres.pool import Connection
from fluxline_gateway.errors import ApiError
from fluxline_gateway.identity.keys import Executor
from fluxline_gateway.settings import GatewaySettings

LOCK_CLASS: Final = 7_340_197
RETRY_AFTER_S: Final = 60
ONE_CENT_OF_A_CENT: Final = 1e-4
"""What sums of floating-point numbers may be wrong by, and more."""
_NOBODY: Final = UUID(int=0)

_RESERVE = """
INSERT INTO spending (id, run, owner, kind, reserved_usd, usd_per_second) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING (SELECT spend_cap_usd FROM owners WHERE owner = $3) AS spend_cap_usd,
    (SELECT max_running FROM owners WHERE owner = $3) AS max_running
"""
_LOCK = "SELECT pg_advisory_xact_lock($1, hashtext($2))"
_ACCOUNT = """
SELECT months.this AT TIME ZONE 'UTC' AS period_start,
    (months.this + interval '1 month') AT TIME ZONE 'UTC' AS resets_at,
    o.spend_cap_usd, o.max_running, s.spent_usd, s.reserved_usd,
    (SELECT count(*) FROM trainings
     WHERE owner = $1 AND id <> $2 AND status NOT IN ('completed', 'failed', 'canceled')) AS running
FROM (SELECT date_trunc('month', now() AT TIME ZONE 'UTC') AS this) AS months
LEFT JOIN owners o ON o.owner = $1
CROSS JOIN LATERAL (
    SELECT coalesce(sum(spent_usd) FILTER (WHERE spent_at >= months.this AT TIME ZONE 'UTC'), 0) AS spent_usd,
        coalesce(sum(reserved_usd) FILTER (WHERE NOT ended AND spent_usd IS NULL), 0) AS reserved_usd
    FROM spending
    WHERE owner = $1 AND (id, run) <> ($2, $3) AND (NOT ended OR spent_at >= months.this AT TIME ZONE 'UTC')
) AS s
"""
_RUNNING = "SELECT count(*) FROM trainings WHERE owner = $1 AND status NOT IN ('completed', 'failed', 'canceled')"
_SETTLE = "UPDATE spending SET spent_usd = coalesce($3, reserved_usd), spent_at = $4 WHERE id = $1 AND run = $2"
_END = "UPDATE spending SET ended = run < $2 OR $3 WHERE id = $1 AND ended <> (run < $2 OR $3)"
_RECKON = """
UPDATE spending s
SET spent_usd = least(s.reserved_usd, s.usd_per_second * extract(epoch FROM $3 - begun.at)::float8), spent_at = $3
FROM (SELECT max(occurred_at) AS at FROM training_events WHERE training_id = $1 AND type = 'training.started') AS begun
WHERE s.id = $1 AND s.run = $2 AND s.spent_usd IS NULL AND begun.at BETWEEN s.created_at AND $3
"""
_RELEASE = "UPDATE spending SET ended = true WHERE id = ANY($1::uuid[]) AND NOT ended"


SPEND_EXAMPLE: Final[JsonDict] = {
    "cap_usd": 25.0,
    "spent_usd": 4.8,
    "reserved_usd": 1.6,
    "remaining_usd": 18.6,
    "period_start": "2026-11-01T00:00:00Z",
    "resets_at": "2026-12-01T00:00:00Z",
}


class SpendOut(BaseModel):
    """Money of one owner in this calendar month (UTC), in US dollars; without a cap, `remaining_usd` is null.

    `reserved_usd` is what the running trainings and generations will probably cost.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [SPEND_EXAMPLE]})

    cap_usd: float | None
    spent_usd: float
    reserved_usd: float
    remaining_usd: float | None
    period_start: datetime
    resets_at: datetime


class Account(NamedTuple):
    """An owner's money, how many of its trainings have not ended, and how many may be so at once."""

    spend: SpendOut
    running: int
    max_running: int | None


@dataclass(frozen=True)
class Reservation:
    """What is to be reserved: `usd` is the likely cost, `usd_per_second` what a run costs that is stopped on its way.

    `run` is that of a training, 0 of a generation.
    """

    id: UUID
    owner: str
    kind: Literal["training", "generation"]
    usd: float
    usd_per_second: float = 0.0
    run: int = 0


async def account_of(
    executor: Executor, owner: str, settings: GatewaySettings, *, without: Reservation | None = None
) -> Account:
    """How the owner stands, leaving out one reservation and its training."""
    left_out = (without.id, without.run) if without else (_NOBODY, 0)
    [row] = await executor.fetch(_ACCOUNT, owner, *left_out)
    cap_usd, max_running = _limits(row, settings)
    spent_usd, reserved_usd = round(row["spent_usd"], 6), round(row["reserved_usd"], 6)
    remaining_usd = None if cap_usd is None else max(0.0, round(cap_usd - spent_usd - reserved_usd, 6))
    spend = SpendOut(
        cap_usd=cap_usd,
        spent_usd=spent_usd,
        reserved_usd=reserved_usd,
        remaining_usd=remaining_usd,
        period_start=row["period_start"],
        resets_at=row["resets_at"],
    )
    return Account(spend, row["running"], max_running)


async def spend_of(executor: Executor, owner: str, settings: GatewaySettings) -> SpendOut:
    """The owner's money."""
    return (await account_of(executor, owner, settings)).spend


async def running_of(executor: Executor, owner: str) -> int:
    """How many of the owner's trainings have not ended."""
    return int(await executor.fetchval(_RUNNING, owner))


async def reserve(connection: Connection, wanted: Reservation, settings: GatewaySettings) -> None:
    """Reserve money, last of all in the transaction that will spend it.

    Raises `ApiError` 402 when it would be more than the owner's cap, and 429 when a training would be one too many.
    """
    facts = (wanted.id, wanted.run, wanted.owner, wanted.kind, wanted.usd, wanted.usd_per_second)
    [row] = await connection.fetch(_RESERVE, *facts)
    if _limits(row, settings) == (None, None):
        return
    await connection.execute(_LOCK, LOCK_CLASS, wanted.owner)
    account = await account_of(connection, wanted.owner, settings, without=wanted)
    if is_over_cap(account.spend, wanted.usd):
        raise _over_cap(account.spend, wanted.usd)
    if wanted.kind == "training" and has_no_place(account):
        raise _no_place(account)


async def settle(connection: Connection, spender_id: UUID, run: int, cost: Cost | None, at: datetime) -> None:
    """Put what a run has cost in the place of its reservation."""
    await connection.execute(_SETTLE, spender_id, run, cost.amount_usd if cost else None, at)


async def end(connection: Connection, training_id: UUID, run: int, at: datetime | None) -> None:
    """End the reservations of a training's runs up to `run`; without `at`, its newest goes on after all.

    `at` is when it ended, by the clock of the events.
    """
    if at:
        await connection.execute(_RECKON, training_id, run, at)
    await connection.execute(_END, training_id, run, at is not None)


async def release(connection: Connection, generation_ids: list[UUID]) -> None:
    """Release what generations have reserved that ended, or are no more."""
    await connection.execute(_RELEASE, generation_ids)


def is_over_cap(spend: SpendOut, usd: float) -> bool:
    """Whether `usd` more would be more than the cap; what costs nothing never is."""
    if spend.cap_usd is None or usd <= 0:
        return False
    return spend.spent_usd + spend.reserved_usd + usd > spend.cap_usd + ONE_CENT_OF_A_CENT


def has_no_place(account: Account) -> bool:
    """Whether one more training would be too many at once."""
    return account.max_running is not None and account.running >= account.max_running


def sums(spend: SpendOut, usd: float) -> str:
    """Cap, spent, reserved, and what is to come, in a sentence."""
    told = f"Of a cap of ${spend.cap_usd or 0:.2f} a month, ${spend.spent_usd:.2f} are spent"
    return f"{told} and ${spend.reserved_usd:.2f} reserved by what runs; this would add about ${usd:.2f}."


def _limits(row: asyncpg.Record, settings: GatewaySettings) -> tuple[float | None, int | None]:
    """Cap and number of running trainings: the owner's own, or else the gateway's."""
    cap_usd, max_running = row["spend_cap_usd"], row["max_running"]
    return (
        settings.spend_cap_usd if cap_usd is None else cap_usd,
        settings.max_running if max_running is None else max_running,
    )


def _over_cap(spend: SpendOut, usd: float) -> ApiError:
    resets_at = spend.resets_at.isoformat().replace("+00:00", "Z")
    return ApiError(
        402,
        "Spend cap reached",
        category=ErrorCategory.BILLING,
        hint=f"The cap starts anew at {resets_at}; an administrator of this gateway can raise it before.",
        detail=sums(spend, usd),
    )


def _no_place(account: Account) -> ApiError:
    return ApiError(
        429,
        "Too many trainings at once",
        category=ErrorCategory.RATE_LIMIT,
        hint="Wait for one to end, or cancel one; an administrator of this gateway can allow more.",
        detail=f"{account.running} trainings have not ended, and {account.max_running} may run at once.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
