"""Owners as an administrator sees them: their limits, their money, and how much they have.

An owner exists when it has a key, limits of its own, an image or a training: who signs in elsewhere needs no key.
"""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fluxline.postgres.pool import Connection
from fluxline_gateway import examples
from fluxline_gateway.errors import number
from fluxline_gateway.identity.keys import Executor
from fluxline_gateway.settings import GatewaySettings
from fluxline_gateway.trainings.spending import SPEND_EXAMPLE, SpendOut, account_of

LIMITS: Final = ("spend_cap_usd", "max_running", "requests_per_minute")
MAX_CAP_USD: Final = 1e9
MAX_RUNNING: Final = 10_000
MAX_REQUESTS_PER_MINUTE: Final = 10_000_000

_NEXT = """
least(
    (SELECT min(owner) FROM api_keys WHERE owner > {after}), (SELECT min(owner) FROM owners WHERE owner > {after}),
    (SELECT min(owner) FROM images WHERE owner > {after}), (SELECT min(owner) FROM trainings WHERE owner > {after})
)
"""
_NAMES = f"""
WITH RECURSIVE names (owner) AS (
    SELECT {_NEXT.format(after="$1::text")}
    UNION ALL
    SELECT {_NEXT.format(after="names.owner")} FROM names WHERE names.owner IS NOT NULL
)
SELECT owner FROM names WHERE owner IS NOT NULL LIMIT $2
"""  # noqa: S608  # from index to index, name by name
_EXISTS = """
SELECT EXISTS (SELECT FROM api_keys WHERE owner = $1) OR EXISTS (SELECT FROM owners WHERE owner = $1)
    OR EXISTS (SELECT FROM images WHERE owner = $1) OR EXISTS (SELECT FROM trainings WHERE owner = $1)
"""
_FACTS = """
SELECT o.spend_cap_usd, o.max_running, o.requests_per_minute,
    (SELECT count(*) FROM images WHERE owner = $1) AS images,
    (SELECT count(*) FROM trainings WHERE owner = $1 AND NOT deleting) AS trainings,
    (SELECT count(*) FROM models WHERE owner = $1) AS models,
    (SELECT min(created_at) FROM api_keys WHERE owner = $1) AS created_at
FROM (SELECT $1::text AS owner) AS named LEFT JOIN owners o ON o.owner = named.owner
"""
_CHANGE = """
INSERT INTO owners (owner, spend_cap_usd, max_running, requests_per_minute) VALUES ($1, $2, $3, $4)
ON CONFLICT (owner) DO UPDATE SET
    spend_cap_usd = CASE WHEN $5 THEN excluded.spend_cap_usd ELSE owners.spend_cap_usd END,
    max_running = CASE WHEN $6 THEN excluded.max_running ELSE owners.max_running END,
    requests_per_minute = CASE WHEN $7 THEN excluded.requests_per_minute ELSE owners.requests_per_minute END,
    updated_at = now()
"""


class OwnerChange(BaseModel):
    """Limits of an owner: what is left out stays, null is the gateway's default.

    With a cap of 0 nothing that costs money can be asked for, with a `max_running` of 0 no training.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"spend_cap_usd": 25.0, "max_running": 3, "requests_per_minute": 600}]},
    )

    spend_cap_usd: (
        Annotated[float, Field(ge=0, le=MAX_CAP_USD, allow_inf_nan=False), BeforeValidator(number)] | None
    ) = None
    max_running: Annotated[int, Field(ge=0, le=MAX_RUNNING), BeforeValidator(number)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=MAX_REQUESTS_PER_MINUTE), BeforeValidator(number)] | None = None


class OwnerOut(BaseModel):
    """An owner: its limits (null: the gateway's default), its money, how much runs, and how much it has.

    `created_at` is when its first key was made.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "owner": examples.OWNER,
                    "spend_cap_usd": 25.0,
                    "max_running": 3,
                    "requests_per_minute": 600,
                    "spend": SPEND_EXAMPLE,
                    "running": 1,
                    "images": 24,
                    "trainings": 4,
                    "models": 3,
                    "created_at": examples.CREATED_AT,
                }
            ]
        }
    )

    owner: str
    spend_cap_usd: float | None
    max_running: int | None
    requests_per_minute: int | None
    spend: SpendOut
    running: int
    images: int
    trainings: int
    models: int
    created_at: datetime | None


async def names(executor: Executor, after: str | None, limit: int) -> list[str]:
    """The owners' names in their order, after one of them."""
    return [row["owner"] for row in await executor.fetch(_NAMES, after or "", limit)]


async def exists(executor: Executor, owner: str) -> bool:
    """Whether there is such an owner."""
    return bool(await executor.fetchval(_EXISTS, owner))


async def facts_of(executor: Executor, owner: str, settings: GatewaySettings) -> OwnerOut:
    """How an owner stands."""
    [row] = await executor.fetch(_FACTS, owner)
    account = await account_of(executor, owner, settings)
    return OwnerOut(owner=owner, **row, spend=account.spend, running=account.running)


async def change(connection: Connection, owner: str, wanted: OwnerChange) -> None:
    """Set the limits that are named, in the running transaction."""
    values: list[Any] = [getattr(wanted, limit) for limit in LIMITS]
    await connection.execute(_CHANGE, owner, *values, *(limit in wanted.model_fields_set for limit in LIMITS))
