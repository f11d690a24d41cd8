"""Reading streams in tests: what was published, in order."""

from typing import TypeVar
from uuid import UUID, uuid4

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from fluxline.contracts.catalog import Consumer
from fluxline.contracts.event import Event
from fluxline.contracts.events import TrainingRequested
from fluxline.runtime.envelope import read_event

E = TypeVar("E", bound=Event)


async def messages_of(jetstream: JetStreamContext, stream: str = "EVENTS") -> list[RawStreamMsg]:
    """Every message of `stream`, by sequence."""
    state = (await jetstream.stream_info(stream)).state
    messages = []
    for sequence in range(max(1, state.first_seq), state.last_seq + 1):
        try:
            messages.append(await jetstream.get_msg(stream, sequence))
        except NotFoundError:
            continue
    return messages


async def settled(jetstream: JetStreamContext, consumer: Consumer) -> bool:
    """Whether the consumer has had every message of its subjects that is there now, and is done with all of them.

    `num_pending` alone may not count yet what was stored just now.
    """
    info = await jetstream.consumer_info(consumer.stream.name, consumer.durable)
    newest = max([await _newest(jetstream, consumer.stream.name, subject) for subject in consumer.subjects])
    return info.num_pending == info.num_ack_pending == 0 < newest <= info.delivered.stream_seq


async def _newest(jetstream: JetStreamContext, stream: str, subject: str) -> int:
    try:
        return (await jetstream.get_last_msg(stream, subject)).seq or 0
    except NotFoundError:
        return 0


async def events_of(jetstream: JetStreamContext, event_class: type[E]) -> list[E]:
    """Every event of that class on the EVENTS stream, by sequence."""
    found = []
    for message in await messages_of(jetstream):
        if message.subject == event_class.subject:
            event = read_event(message.subject, message.data or b"")
            assert isinstance(event, event_class)
            found.append(event)
    return found


def requested(training_id: UUID | None = None, *, images: int = 5, **facts: object) -> TrainingRequested:
    """A plausible training.requested."""
    training_id = training_id or uuid4()
    refs = [{"key": f"uploads/ada/{n:064x}.jpg", "sha256": f"{n:064x}"} for n in range(1, images + 1)]
    defaults: dict[str, object] = {"name": "Ada", "trigger_word": "ADATOK", "owner": "ada", "images": refs}
    return TrainingRequested.first(str(training_id), training_id=training_id, **(defaults | facts))
