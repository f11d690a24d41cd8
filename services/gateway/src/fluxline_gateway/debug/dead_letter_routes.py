"""`/v1/admin/dead-letters`: the messages that a service gave up on, to be looked at, replayed or dropped."""

import json
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response

from fluxline.runtime.bus import MessageRefused
from fluxline.runtime.dead_letters import BodyGone, DeadLetter, DeadLetters, NoSuchLetter
from fluxline.runtime.redaction import redact
from fluxline_gateway.debug.dead_letter_views import DeadLetterDetail, DeadLetterOut, DeadLetterReplay
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import ApiError, NotFound, problems
from fluxline_gateway.identity.scopes import ADMIN_PATH
from fluxline_gateway.pages import DEFAULT_LIMIT, Limit, Page, link_next

MOST: Final = 2**63 - 1
router = APIRouter(
    prefix=f"{ADMIN_PATH}/dead-letters", tags=["operations"], responses=problems(_503="NATS does not answer")
)
_NO_SUCH = problems(_404="There is no such dead letter")
Number = Annotated[int, Path(ge=1, le=MOST, description="the dead letter's number", examples=[17])]
Durable = Annotated[
    str | None,
    Query(pattern=r"^[a-z][a-z-]{0,63}$", description="only those of this consumer", examples=["trainer"]),
]
After = Annotated[int | None, Query(ge=1, le=MOST, description="`next_cursor` of the page before", examples=[17])]


@router.get("", operation_id="list_dead_letters")
async def list_dead_letters(
    request: Request,
    response: Response,
    gateway: Deps,
    _: Owner,
    durable: Durable = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: After = None,
) -> Page[DeadLetterOut]:
    """The dead letters, oldest first, without their messages."""
    found = await _letters(gateway).list(durable, limit=limit + 1, after=cursor or 0)
    more = str(found[limit - 1].sequence) if len(found) > limit else None
    link_next(request, response, more)
    return Page(items=[DeadLetterOut(**_facts(letter)) for letter in found[:limit]], next_cursor=more)


@router.get("/{number}", operation_id="get_dead_letter", responses=_NO_SUCH)
async def get_dead_letter(number: Number, gateway: Deps, _: Owner) -> DeadLetterDetail:
    """One dead letter with its message; secrets in it are blacked out."""
    try:
        letter = await _letters(gateway).get(number)
    except NoSuchLetter:
        raise NotFound("Dead letter") from None
    return DeadLetterDetail(**_facts(letter), headers=redact(letter.headers), body=_body(letter))


@router.post(
    "/{number}/replay",
    operation_id="replay_dead_letter",
    responses=_NO_SUCH | problems(_409="Its message is not there any more, or is too large"),
)
async def replay_dead_letter(number: Number, gateway: Deps, _: Owner) -> DeadLetterReplay:
    """Publish its message again as it was, and remove the letter. Two replays at once are one message."""
    try:
        replayed = await _letters(gateway).replay(number)
    except NoSuchLetter:
        raise NotFound("Dead letter") from None
    except (BodyGone, MessageRefused) as error:
        raise ApiError(
            409, "Cannot be replayed", category=error.category, hint=error.hint, detail=error.message
        ) from error
    return DeadLetterReplay(number=number, event=str(replayed.sequence), repeated=replayed.repeated)


@router.delete("/{number}", status_code=204, operation_id="drop_dead_letter", responses=_NO_SUCH)
async def drop_dead_letter(number: Number, gateway: Deps, _: Owner) -> None:
    """Remove a dead letter and its message for good."""
    try:
        await _letters(gateway).drop(number)
    except NoSuchLetter:
        raise NotFound("Dead letter") from None


def _letters(gateway: Gateway) -> DeadLetters:
    return DeadLetters(gateway.bus.jetstream)


def _facts(letter: DeadLetter) -> dict[str, Any]:
    names = (name for name in DeadLetterOut.model_fields if name != "number")
    facts: dict[str, Any] = redact({name: getattr(letter, name) for name in names})
    return facts | {"number": letter.sequence}


def _body(letter: DeadLetter) -> Any:
    """The body as JSON where it is, as text where not; None when it is gone."""
    if letter.body is None:
        return None
    try:
        return redact(json.loads(letter.body))
    except (ValueError, RecursionError):
        return redact(letter.body.decode(errors="replace"))
