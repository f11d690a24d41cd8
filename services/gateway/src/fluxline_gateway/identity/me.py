"""`GET /v1/me`: whom an API key speaks for, and how that owner stands."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from fluxline_gateway import examples
from fluxline_gateway.deps import Deps, Owner
from fluxline_gateway.trainings.spending import SPEND_EXAMPLE, SpendOut, account_of

router = APIRouter(prefix="/v1", tags=["account"])


class Running(BaseModel):
    """How many trainings have not ended, and how many may be so at once (null: any number)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"now": 1, "limit": 3}]})

    now: int
    limit: int | None


class Me(BaseModel):
    """The owner of the API key, what the key may do and until when, and how the owner stands."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "owner": examples.OWNER,
                    "key_id": examples.KEY_ID,
                    "scopes": ["read", "write"],
                    "expires_at": examples.EXPIRES_AT,
                    "spend": SPEND_EXAMPLE,
                    "running": {"now": 1, "limit": 3},
                }
            ]
        }
    )

    owner: str
    key_id: UUID | None
    scopes: list[str]
    expires_at: datetime | None
    spend: SpendOut
    running: Running


@router.get("/me", operation_id="get_me")
async def get_me(gateway: Deps, owner: Owner) -> Me:
    """Whom this API key speaks for, what may be spent this month, and how much runs."""
    account = await account_of(gateway.database.pool, owner.owner, gateway.settings)
    return Me(
        owner=owner.owner,
        key_id=owner.key_id,
        scopes=sorted(owner.scopes),
        expires_at=owner.expires_at,
        spend=account.spend,
        running=Running(now=account.running, limit=account.max_running),
    )
