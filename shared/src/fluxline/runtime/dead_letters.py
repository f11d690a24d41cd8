"""Dead letters: the messages that a consumer gave up on, kept in the DLQ until somebody replays or drops them.

A letter is the message as it was, under the subject `dlq.<durable>`, with `dlq-*` headers that say why. One that is too
large for the DLQ with those headers stays in EVENTS alone; its letter says so and reads it from there.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID

import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from fluxline.contracts.catalog import DLQ_STREAM, EVENTS_STREAM
from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.runtime.bus import BODY_IN_EVENTS, publish_as_it_is
from fluxline.runtime.envelope import MSG_ID, REPLAY
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.message_spans import link_of

_NOT_OF_THE_MESSAGE = re.compile(r"dlq-|nats-", re.I)
_REPEATS = re.compile(r"(?::[a-z]\d+)+$")
"""What a replay, a watchdog or an audit appends to an event's id to pass the stream's deduplication."""
_UNAVAILABLE = (nats.errors.Error, nats.js.errors.Error, ConnectionError, TimeoutError, OSError)


class NoSuchLetter(FluxlineError):
    """There is no dead letter of this number."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "It was replayed or dropped already, or is older than the DLQ keeps; list the ones there are."


class BodyGone(FluxlineError):
    """The message was too large for its dead letter, and the stream does not hold it any more."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "It cannot be replayed; drop the letter, and retry its training instead."


@dataclass(frozen=True)
class DeadLetter:
    """One message that `durable` gave up on; `sequence` is the DLQ's and the letter's name.

    `headers` and `body` are the message's own; the body is None where it has gone from EVENTS. `event_id` is that of
    the event, whichever repeat of it failed, and empty if it had none. `training_id` is None where the body is not
    readable. `link` is the header that leads from a replay to the span that gave the message up.
    """

    sequence: int
    durable: str
    subject: str
    event_id: str
    training_id: UUID | None
    category: str
    reason: str
    hint: str
    attempts: int
    buried_at: datetime
    trace_id: str | None
    headers: dict[str, str]
    body: bytes | None
    link: dict[str, str]


@dataclass(frozen=True)
class Replayed:
    """A replay's message in EVENTS; `repeated` when an earlier replay of the same letter had put it there."""

    sequence: int
    repeated: bool


class DeadLetters:
    """The DLQ as an operator uses it. Every call may raise `BrokerUnavailable`."""

    def __init__(self, jetstream: JetStreamContext) -> None:
        self._jetstream = jetstream

    async def list(self, durable: str | None = None, *, limit: int = 100, after: int = 0) -> list[DeadLetter]:
        """At most `limit` letters (of one durable), oldest first, from above the sequence `after`."""
        found: list[DeadLetter] = []
        async for letter in self.all(durable, after=after):
            if len(found) == limit:
                break
            found.append(letter)
        return found

    async def all(self, durable: str | None = None, *, after: int = 0) -> AsyncIterator[DeadLetter]:
        """Every letter (of one durable), oldest first, from above the sequence `after`."""
        subject = f"dlq.{durable}" if durable else DLQ_STREAM.subjects[0]
        while (message := await self._message(DLQ_STREAM.name, after + 1, next_of=subject)) is not None:
            after = message.seq or 0
            yield await self._letter(message)

    async def get(self, sequence: int) -> DeadLetter:
        """One letter; raises `NoSuchLetter`."""
        message = await self._message(DLQ_STREAM.name, sequence)
        if message is None:
            raise _no_such_letter(sequence)
        return await self._letter(message)

    async def replay(self, sequence: int) -> Replayed:
        """Publish the letter's message again as it was, and remove the letter once the stream has confirmed.

        Raises `NoSuchLetter`, `BodyGone`. A crash in between leaves the letter: replaying it again is one message.
        """
        letter = await self.get(sequence)
        if letter.body is None:
            raise BodyGone(f"The message of the dead letter {sequence} is not in {EVENTS_STREAM.name} any more")
        again = {MSG_ID: f"{letter.event_id or 'unknown'}:r{sequence}", REPLAY: str(sequence), **letter.link}
        headers = {**letter.headers, **again}
        ack = await publish_as_it_is(self._jetstream, letter.subject, letter.body, headers, EVENTS_STREAM.name)
        await self._delete(sequence)
        return Replayed(ack.seq, bool(ack.duplicate))

    async def drop(self, sequence: int) -> None:
        """Remove the letter for good; raises `NoSuchLetter`."""
        if not await self._delete(sequence):
            raise _no_such_letter(sequence)

    async def _letter(self, message: RawStreamMsg) -> DeadLetter:
        body: bytes | None = message.data or b""
        if elsewhere := (message.headers or {}).get(BODY_IN_EVENTS):
            original = await self._message(EVENTS_STREAM.name, int(elsewhere))
            body = (original.data or b"") if original else None
        return letter_of(message, body)

    async def _message(self, stream: str, sequence: int, *, next_of: str | None = None) -> RawStreamMsg | None:
        """The message at `sequence`, or the next one of a subject from there on; None when there is none."""
        try:
            return await self._jetstream.get_msg(stream, sequence, subject=next_of, direct=True, next=bool(next_of))
        except nats.js.errors.NotFoundError:
            return None
        except _UNAVAILABLE as error:
            raise _unavailable(error) from error

    async def _delete(self, sequence: int) -> bool:
        """Whether there was such a letter."""
        try:
            return await self._jetstream.delete_msg(DLQ_STREAM.name, sequence)
        except _UNAVAILABLE as error:  # the server's error for "not there" is that of any other failure
            if await self._message(DLQ_STREAM.name, sequence) is not None:
                raise _unavailable(error) from error
            return False


def letter_of(message: RawStreamMsg, body: bytes | None) -> DeadLetter:
    """The letter in a message of the DLQ; what its headers do not say is empty or 0."""
    headers = message.headers or {}
    return DeadLetter(
        sequence=message.seq or 0,
        durable=(message.subject or "").removeprefix("dlq."),
        subject=headers.get("dlq-subject", ""),
        event_id=_REPEATS.sub("", headers.get("dlq-event-id", "")),
        training_id=_training_id(body),
        category=headers.get("dlq-category", ""),
        reason=headers.get("dlq-reason", ""),
        hint=headers.get("dlq-hint", ""),
        attempts=int(headers.get("dlq-attempts", 0)),
        buried_at=message.time or datetime.fromtimestamp(0, UTC),
        trace_id=_trace_id(headers),
        headers={name: value for name, value in headers.items() if not _NOT_OF_THE_MESSAGE.match(name)},
        body=body,
        link=link_of(headers),
    )


def _training_id(body: bytes | None) -> UUID | None:
    try:
        return UUID(json.loads(body or b"")["training_id"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _trace_id(headers: Mapping[str, str]) -> str | None:
    """The second part of a W3C `traceparent`."""
    parts = headers.get("traceparent", "").split("-")
    return parts[1] if len(parts) == 4 else None


def _no_such_letter(sequence: int) -> NoSuchLetter:
    return NoSuchLetter(f"There is no dead letter {sequence}")


def _unavailable(error: BaseException) -> BrokerUnavailable:
    return BrokerUnavailable(f"NATS did not answer for the DLQ ({type(error).__name__})")
