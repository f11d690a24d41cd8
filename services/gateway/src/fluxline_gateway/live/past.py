"""A training's past: what its history holds, and what the hub has heard that the history does not know yet.

Replicas store events in batches, side by side, so the history may have gaps for a moment. The hub's recent past has
none: together, up to where the hub stands, they are complete.
"""

from collections.abc import AsyncIterator
from uuid import UUID

from fluxline_gateway.deps import Gateway
from fluxline_gateway.live.history import MAX_EVENTS, EventOut, event_message, event_of_message, events_after
from fluxline_gateway.live.hub import Subscriber

CATCH_UP_S = 1.0
"""How long a list of events waits for a history, or a hub, that is behind."""
Message = tuple[int, str, bytes]
"""Sequence, type, and the encoded message."""


async def past_messages(
    gateway: Gateway, training_id: UUID, subscriber: Subscriber, after: int
) -> AsyncIterator[Message]:
    """Every event after that sequence, up to where the subscriber's queue begins."""
    cursor: int | None = after
    while cursor is not None:
        page = await events_after(gateway.database, training_id, cursor, MAX_EVENTS, until=subscriber.told)
        end = page[-1].id if len(page) == MAX_EVENTS else None
        messages = {event.id: (event.type, event_message(event)) for event in page}
        for event in subscriber.recent:
            if cursor < event.sequence and (end is None or event.sequence <= end):
                messages[event.sequence] = (event.type, event.message)
        for sequence, (event_type, message) in sorted(messages.items()):
            yield sequence, event_type, message
        cursor = end


async def past_events(gateway: Gateway, training_id: UUID, after: int, limit: int, known: int) -> list[EventOut]:
    """At most `limit` events after that sequence, without a gap; `known` is the newest sequence of the training."""
    hub = gateway.live
    await hub.wait_until_told(known, CATCH_UP_S)
    with hub.subscribe(training_id) as subscriber:
        recent, until = subscriber.recent, subscriber.told
    await hub.projected.reaches(subscriber.floor, CATCH_UP_S)
    if hub.projected.known < subscriber.floor:
        recent, until = [], hub.projected.known
    elif not has_told(until, known):
        until = None
    page = {event.id: event for event in await events_after(gateway.database, training_id, after, limit, until=until)}
    for event in recent:
        if event.sequence > after and event.sequence not in page:
            page[event.sequence] = event_of_message(event.message)
    return [page[sequence] for sequence in sorted(page)[:limit]]


def has_told(told: int | None, sequence: int) -> bool:
    """Whether a hub that stands at `told` keeps nothing back up to `sequence`; one that tells nothing never does."""
    return told is None or told >= sequence
