"""A training's live stream: a snapshot, what happened since, then what happens, until the training has ended.

Where the hub stood when the page subscribed is the seam: up to it, events come from the history and the hub's recent
past (one knows what the other does not know yet); after it, all come through the page's queue. So none is missed
and none sent twice, whichever replica has stored what.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from fluxline_gateway.deps import Gateway
from fluxline_gateway.errors import NotFound
from fluxline_gateway.identity.keys import Principal
from fluxline_gateway.live.history import sse, stored_sequences
from fluxline_gateway.live.hub import Subscriber
from fluxline_gateway.live.past import has_told, past_messages
from fluxline_gateway.trainings.routes import find_training
from fluxline_gateway.trainings.state import TERMINAL, TrainingState
from fluxline_gateway.trainings.views import training_out

HEARTBEAT = b": still here\n\n"
END = sse(None, "end", "{}")
ENDS = frozenset({"model.published", "training.failed", "training.canceled", "training.delete_requested"})
REOPENS = "training.retry_requested"


class _Opening(NamedTuple):
    """Where a stream begins: its snapshot's id, the newest sequence in it, and whether the training had ended."""

    start: int
    known: int
    ended: bool
    settled: bool


async def live_stream(
    gateway: Gateway, reader: Principal, training_id: UUID, after: int | None
) -> AsyncGenerator[bytes]:
    """The stream's messages; `after` is the last sequence that the client has, None for a new one.

    Thousands of these are open at a time, most of them silent: what only the beginning needs is let go of.
    """
    hub = gateway.live
    await hub.wait_until_reading()
    with hub.subscribe(training_id, reader) as subscriber:
        if not await hub.projected.reaches(subscriber.floor):
            return
        try:
            snapshot, opening = await _open(gateway, reader.owner, training_id, subscriber, after)
        except NotFound:  # deleted since the request came in
            yield END
            return
        yield snapshot
        del snapshot
        sent, ended = opening.start, opening.ended
        async for sequence, event_type, message in past_messages(gateway, training_id, subscriber, sent):
            yield message
            sent = sequence
            ended = _has_ended(ended, event_type) if sequence > opening.known else ended
        subscriber.recent = []
        if not (ended and opening.settled and has_told(subscriber.told, opening.known)):
            async for message in _live(gateway, subscriber, sent, opening.known, ended=ended):
                yield message
        if not subscriber.lagging:
            yield END


async def _open(
    gateway: Gateway, owner: str, training_id: UUID, subscriber: Subscriber, after: int | None
) -> tuple[bytes, _Opening]:
    """The snapshot's message and what follows from it; raises `NotFound`."""
    stored = await stored_sequences(gateway.database, training_id, [event.sequence for event in subscriber.recent])
    row = await find_training(gateway, owner, training_id)
    state = TrainingState.model_validate_json(row["state"])
    start = _told_by(state, subscriber, stored) if after is None else after
    snapshot = sse(start, "snapshot", training_out(row).model_dump_json())
    return snapshot, _Opening(start, state.sequence, state.status in TERMINAL, _is_settled(gateway, row))


def _told_by(state: TrainingState, subscriber: Subscriber, stored: set[int]) -> int:
    """Up to which sequence a new client knows everything by the snapshot; later events may be in it, too."""
    missing = [event.sequence for event in subscriber.recent if event.sequence not in stored]
    known = min(missing) - 1 if missing else state.sequence
    return known if subscriber.told is None else min(known, subscriber.told)


async def _live(
    gateway: Gateway, subscriber: Subscriber, sent: int, known: int, *, ended: bool
) -> AsyncIterator[bytes]:
    """What comes through the queue, and heartbeats; ends a while after the training, or when the client is too slow.

    The end waits until the hub has told all up to `known`, the newest sequence of the snapshot.
    """
    while not subscriber.lagging:
        event = await subscriber.next(gateway.live.linger_s if ended else gateway.live.heartbeat_s)
        if event is not None and event.sequence > sent:
            sent = event.sequence
            ended = _has_ended(ended, event.type)
            yield event.message
        elif event is None and ended and has_told(gateway.live.told, known):
            return
        elif event is None and not subscriber.lagging:
            yield HEARTBEAT


def _has_ended(before: bool, event_type: str) -> bool:
    return (before or event_type in ENDS) and event_type != REOPENS


def _is_settled(gateway: Gateway, row: asyncpg.Record) -> bool:
    """Whether the training has been at its end for so long that nothing follows."""
    updated_at: datetime = row["updated_at"]
    return (datetime.now(UTC) - updated_at).total_seconds() > gateway.live.linger_s
