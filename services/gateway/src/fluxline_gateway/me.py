"""`GET /v1/me`: whom an API key speaks for."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from fluxline_gateway.deps import Owner

router = APIRouter(prefix="/v1", tags=["account"])


class Me(BaseModel):
    """The owner of the API key, and what the key may do."""

    owner: str
    key_id: UUID
    scopes: list[str]


@router.get("/me", operation_id="get_me")
async def get_me(owner: Owner) -> Me:
    """Whom this API key speaks for."""
    return Me(owner=owner.owner, key_id=owner.key_id, scopes=sorted(owner.scopes))
