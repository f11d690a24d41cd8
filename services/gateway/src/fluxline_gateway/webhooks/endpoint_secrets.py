"""What webhooks are signed with: a secret per owner, made when it is first needed; a replaced one signs on for a day.

Secrets are kept as they are, for signing needs them: `whsec_` and 32 random bytes in base64 (Standard Webhooks).
"""

import base64
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from fluxline.postgres.pool import Connection
from fluxline_gateway.identity.keys import Executor

OVERLAP: Final = timedelta(hours=24)
"""How long a replaced secret signs along, so that receivers can change it without losing a webhook."""
MAX_SIGNATURES: Final = 4
"""How many secrets sign at most, should one be replaced again and again."""
_BYTES = 32
_MAKE = """
INSERT INTO webhook_secrets (owner, secret) VALUES ($1, $2) ON CONFLICT (owner) WHERE expires_at IS NULL DO NOTHING
"""
_IN_USE = """
SELECT secret, created_at, (
    SELECT max(old.expires_at) FROM webhook_secrets AS old WHERE old.owner = $1 AND old.expires_at > now()
) AS previous_expires_at
FROM webhook_secrets WHERE owner = $1 AND expires_at IS NULL
"""
_RETIRE = "UPDATE webhook_secrets SET expires_at = now() + $2::interval WHERE owner = $1 AND expires_at IS NULL"
_SIGNING = """
SELECT secret FROM webhook_secrets WHERE owner = $1 AND (expires_at IS NULL OR expires_at > now())
ORDER BY expires_at DESC NULLS FIRST LIMIT $2
"""
_PURGE = "DELETE FROM webhook_secrets WHERE expires_at <= now()"


@dataclass(frozen=True)
class Secret:
    """The owner's secret in use, and until when an older one signs along."""

    secret: str = field(repr=False)
    created_at: datetime
    previous_expires_at: datetime | None


async def in_use(connection: Executor, owner: str) -> Secret:
    """The owner's secret, made now if there is none."""
    row = await connection.fetchrow(_IN_USE, owner)
    if row is None:
        await connection.execute(_MAKE, owner, _new())
        row = await connection.fetchrow(_IN_USE, owner)
    assert row is not None  # noqa: S101  # a secret is only ever retired with its successor
    return Secret(**row)


async def rotate(connection: Connection, owner: str) -> Secret:
    """A new secret in the running transaction; of several that rotate at once, all get the same."""
    await connection.execute(_RETIRE, owner, OVERLAP)
    await connection.execute(_MAKE, owner, _new())
    return await in_use(connection, owner)


async def signing(connection: Executor, owner: str) -> list[str]:
    """The secrets to sign with, the one in use first; it is made if there is none."""
    found = await connection.fetch(_SIGNING, owner, MAX_SIGNATURES)
    return [row["secret"] for row in found] or [(await in_use(connection, owner)).secret]


async def purge(connection: Executor) -> None:
    """Forget the secrets that sign no more."""
    await connection.execute(_PURGE)


def _new() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_BYTES)).decode()
