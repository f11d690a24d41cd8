"""API keys as they are asked for and shown."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from fluxline_gateway import examples
from fluxline_gateway.identity.scopes import Scope
from fluxline_gateway.moments import Moment

MAX_NAME_CHARS: Final = 100
_EXAMPLE: Final[dict[str, Any]] = {
    "id": examples.KEY_ID,
    "name": "laptop",
    "hint": "fl_Ab3",
    "owner": examples.OWNER,
    "scopes": ["read", "write"],
    "created_at": examples.CREATED_AT,
    "expires_at": None,
    "last_used_at": examples.UPDATED_AT,
    "revoked_at": None,
}
KeyName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, pattern=r"^[^\x00-\x1f\x7f]+$")]
KeyScopes = Annotated[list[Scope], Field(min_length=1, max_length=3)]


class KeyIn(BaseModel):
    """An API key to be made; `name` says what it is for.

    Without `scopes` it may read and write, as far as the calling key may. Without `expires_at` it ends with the
    calling key, or never.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"name": "laptop", "scopes": ["read", "write"], "expires_at": "2099-01-01T00:00:00Z"}]
        },
    )

    name: KeyName
    scopes: KeyScopes | None = None
    expires_at: Moment | None = None


class KeyOut(BaseModel):
    """An API key's facts. `hint` is what the key begins with; `last_used_at` may be a minute late.

    A key is good until it is revoked or expires. It stays in the list after that.
    """

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    name: str
    hint: str
    owner: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewKeyOut(KeyOut):
    """A new API key, with the `key` itself: nobody can show it again."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _EXAMPLE
                | {
                    "expires_at": "2099-01-01T00:00:00Z",
                    "last_used_at": None,
                    "key": "fl_Ab3" + "0" * 37,
                }
            ]
        }
    )

    key: str
