"""A stream ends with the key that opened it: one question for all that are open, every few seconds.

A key is looked up at most ten seconds before its stream opens, so that none outlives its key by more than twenty.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from fluxline.postgres.pool import Database
from fluxline_gateway.identity import keys
from fluxline_gateway.identity.keys import Principal
from fluxline_gateway.identity.oidc import LEEWAY_S
from fluxline_gateway.live.hub import LiveHub

CHECK_S: Final = 10.0


async def end_streams_of_ended_keys(database: Database, live: LiveHub) -> None:
    """End the streams whose key is revoked or has expired, and those whose token has; may raise a database error.

    A stream that was opened by a ticket hangs on no key.
    """
    now = datetime.now(UTC)
    live.end_streams_if(lambda reader: _has_expired(reader, now))
    asked = {reader.key_id for reader in live.readers if reader.key_id}
    if asked:
        ended = asked - await keys.living(database.pool, asked)
        live.end_streams_if(lambda reader: reader.key_id in ended)


def _has_expired(reader: Principal, now: datetime) -> bool:
    """Tokens are taken a little longer than they say, for clocks that differ."""
    grace_s = 0 if reader.key_id else LEEWAY_S
    return reader.expires_at is not None and reader.expires_at <= now - timedelta(seconds=grace_s)
