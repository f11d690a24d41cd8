"""Tickets for live streams: a browser's EventSource sends no header, so its URL says what it may open.

A ticket is `{expires}.{owner}.{signature}`: Unix seconds, an OwnerName, and the base64url HMAC-SHA256 (RFC 2104) over
these, the training's id and a name of the scheme. It opens the events of that one training, and is stored nowhere.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import parse_qsl
from uuid import UUID

from starlette.types import Scope

from fluxline.contracts.errors import ErrorCategory
from fluxline.postgres.pool import Database
from fluxline_gateway.errors import ApiError

LIFETIME_S: Final = 3600
PARAMETER: Final = "ticket"
SECRET_BYTES: Final = 32
_NAME: Final = "stream_tickets"
_SCHEME: Final = "fluxline-stream-1"
_MAKE = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_READ = "SELECT value FROM secrets WHERE name = $1"


class StreamTickets:
    """Makes and checks tickets with the secret that all replicas of a database share."""

    def __init__(self) -> None:
        self._secret: bytes | None = None

    async def issue(self, database: Database, training_id: UUID, owner: str, now: float) -> tuple[str, int]:
        """A ticket to that training of its owner, and when it ends (Unix seconds)."""
        expires = int(now) + LIFETIME_S
        signature = _signature(await self._shared_secret(database), training_id, owner, str(expires))
        return f"{expires}.{owner}.{signature}", expires

    async def owner_of(self, database: Database, training_id: UUID, ticket: str, now: float) -> str:
        """Whose ticket it is; one that is forged, past, or for another training raises `ApiError` 401."""
        expires, _, rest = ticket.partition(".")
        owner, _, given = rest.rpartition(".")
        expected = _signature(await self._shared_secret(database), training_id, owner, expires)
        if not hmac.compare_digest(expected.encode(), given.encode(errors="replace")):
            raise _refused("Ticket not valid")
        if now >= int(expires):  # a number, since we signed it
            raise _refused("Ticket expired")
        return owner

    async def _shared_secret(self, database: Database) -> bytes:
        """Made by whoever needs it first, then the same for all."""
        if self._secret is None:
            await database.pool.execute(_MAKE, _NAME, secrets.token_bytes(SECRET_BYTES))
            self._secret = await database.pool.fetchval(_READ, _NAME)
            assert self._secret is not None  # noqa: S101  # rows of this table are never removed while a gateway runs
        return self._secret


def carries_ticket(scope: Scope) -> bool:
    """Whether the request's query holds a ticket, however it is escaped: such a query must not be recorded."""
    query: bytes = scope.get("query_string", b"")
    return bool(query) and any(name == PARAMETER for name, _ in parse_qsl(query.decode("latin-1"), True))


def _signature(secret: bytes, training_id: UUID, owner: str, expires: str) -> str:
    text = "\n".join((_SCHEME, str(training_id), expires, owner))
    digest = hmac.new(secret, text.encode(errors="replace"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _refused(title: str) -> ApiError:
    return ApiError(
        401,
        title,
        category=ErrorCategory.AUTHENTICATION,
        hint="Get a new one with POST /v1/trainings/{id}/events/ticket; it opens that training's events for an hour.",
        headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )
