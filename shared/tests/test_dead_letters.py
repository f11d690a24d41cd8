"""Dead letters on a real server: kept whole, listed, replayed once, dropped."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import ClassVar

import nats as nats_py
import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import EVENTS_STREAM, ZIPPER
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import StageStarted, TrainingFailed, TrainingRequested, ZipCreated
from fluxline.runtime.bus import Bus, MessageRefused
from fluxline.runtime.dead_letters import BodyGone, DeadLetter, DeadLetters, NoSuchLetter
from fluxline.runtime.envelope import Received, body_of, headers_of
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.handlers import Delivery, Handlers
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.provision import provision
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import Metrics, make_tracer_provider
from polling import poll_until
from processes import temporary_home
from servers import NatsServer
from streams import events_of, messages_of, requested

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class WrongKey(FluxlineError):
    """The key was refused – “schlüssel”."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION
    hint = "Set a key that works."


@asynccontextmanager
async def connected(url: str, service: str = "zipper") -> AsyncIterator[Bus]:
    bus = Bus(service, url, make_tracer_provider(service, None))
    await bus.broker.connect()
    try:
        yield bus
    finally:
        bus.stopping = True
        await bus.broker.stop()


@pytest.fixture
async def bus(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Bus]:
    async with connected(nats.url) as bus:
        yield bus


def received(event: Event, *, sequence: int = 7, body: bytes | None = None, **headers: str) -> Received:
    return Received(
        subject=event.subject,
        body=body_of(event) if body is None else body,
        headers={**headers_of(event, "gateway"), "Nats-Expected-Stream": "EVENTS", "traceparent": TRACEPARENT}
        | headers,
        sequence=sequence,
        attempt=3,
        stored_at=datetime.now(UTC),
    )


async def only_letter(letters: DeadLetters) -> DeadLetter:
    (letter,) = await letters.list()
    return letter


async def test_a_letter_tells_what_was_given_up_on_by_whom_and_why(bus: Bus, jetstream: JetStreamContext) -> None:
    event = requested()
    await bus.bury("zipper", received(event), WrongKey())
    letter = await only_letter(DeadLetters(jetstream))
    assert (letter.durable, letter.subject) == ("zipper", "training.requested")
    assert (letter.event_id, letter.training_id) == (str(event.event_id), event.training_id)
    assert (letter.category, letter.reason, letter.hint) == ("authentication", WrongKey().message, WrongKey.hint)
    assert (letter.attempts, letter.trace_id, letter.body) == (3, TRACE, body_of(event))
    own = headers_of(event, "gateway") | {"traceparent": TRACEPARENT}
    del own["Nats-Msg-Id"]
    assert letter.headers == own
    assert abs((datetime.now(UTC) - letter.buried_at).total_seconds()) < 60


async def test_letters_are_listed_by_durable_in_pages_oldest_first(bus: Bus, jetstream: JetStreamContext) -> None:
    for number in range(1, 7):
        await bus.bury("zipper" if number % 2 else "trainer", received(requested(), sequence=number), WrongKey())
    letters = DeadLetters(jetstream)
    everything = await letters.list()
    assert len(everything) == 6
    assert [letter.sequence for letter in everything] == sorted(letter.sequence for letter in everything)
    first = await letters.list("zipper", limit=2)
    rest = await letters.list("zipper", limit=2, after=first[-1].sequence)
    assert [letter.durable for letter in first + rest] == ["zipper"] * 3
    assert await letters.list("nobody") == []


async def test_a_replay_is_the_message_again_with_an_id_of_its_own_and_ends_the_letter(
    bus: Bus, jetstream: JetStreamContext
) -> None:
    event = requested()
    await bus.publish(event)
    await bus.bury("zipper", received(event), WrongKey())
    letters = DeadLetters(jetstream)
    letter = await only_letter(letters)
    replayed = await letters.replay(letter.sequence)
    original, again = await messages_of(jetstream)
    assert (again.seq, replayed.repeated) == (replayed.sequence, False)
    assert (again.subject, again.data) == (original.subject, original.data)
    assert again.headers
    assert again.headers["Nats-Msg-Id"] == f"{event.event_id}:r{letter.sequence}"
    assert again.headers["fluxline-replay"] == str(letter.sequence)
    assert again.headers["traceparent"] == TRACEPARENT
    assert again.headers["ce-id"] == str(event.event_id)
    assert not any(name.startswith("dlq-") for name in again.headers)
    assert await letters.list() == []
    with pytest.raises(NoSuchLetter):
        await letters.replay(letter.sequence)


async def test_a_replay_that_crashed_before_the_letter_was_removed_is_one_message(
    bus: Bus, jetstream: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bus.bury("zipper", received(requested()), WrongKey())
    letters = DeadLetters(jetstream)
    letter = await only_letter(letters)
    crashing = DeadLetters(jetstream)

    async def crash(_sequence: int) -> bool:
        raise ConnectionAbortedError

    monkeypatch.setattr(crashing, "_delete", crash)
    with pytest.raises(ConnectionAbortedError):
        await crashing.replay(letter.sequence)
    assert (await letters.replay(letter.sequence)).repeated
    assert len(await messages_of(jetstream)) == 1
    assert await letters.list() == []


async def test_twenty_replays_at_once_are_one_message(bus: Bus, jetstream: JetStreamContext) -> None:
    await bus.bury("zipper", received(requested()), WrongKey())
    letters = DeadLetters(jetstream)
    letter = await only_letter(letters)
    outcomes = await asyncio.gather(*(letters.replay(letter.sequence) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(outcome, NoSuchLetter) or not isinstance(outcome, Exception) for outcome in outcomes)
    assert len(await messages_of(jetstream)) == 1


async def test_a_letter_of_a_replay_keeps_the_id_of_its_event(bus: Bus, jetstream: JetStreamContext) -> None:
    event = requested()
    message = received(event, **{"Nats-Msg-Id": f"{event.event_id}:w1:r4", "fluxline-replay": "4"})
    await bus.bury("zipper", message, WrongKey())
    letters = DeadLetters(jetstream)
    letter = await only_letter(letters)
    assert letter.event_id == str(event.event_id)
    await letters.replay(letter.sequence)
    (again,) = await messages_of(jetstream)
    assert again.headers
    assert again.headers["Nats-Msg-Id"] == f"{event.event_id}:r{letter.sequence}"
    assert again.headers["fluxline-replay"] == str(letter.sequence)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"training_id": 1}', b"\xff\xfe", b"null", b"[" * 100_000])
async def test_what_nobody_can_read_can_be_buried_listed_and_replayed(
    bus: Bus, jetstream: JetStreamContext, body: bytes
) -> None:
    message = Received("training.unheard_of", body, {}, sequence=9, attempt=1, stored_at=datetime.now(UTC))
    await bus.bury("zipper", message, WrongKey())
    letters = DeadLetters(jetstream)
    letter = await only_letter(letters)
    assert (letter.training_id, letter.event_id, letter.trace_id, letter.body) == (None, "", None, body)
    await letters.replay(letter.sequence)
    (again,) = await messages_of(jetstream)
    assert (again.subject, again.data or b"") == ("training.unheard_of", body)


async def test_headers_that_a_client_would_not_send_do_not_keep_a_message_from_being_buried(
    bus: Bus, jetstream: JetStreamContext
) -> None:
    await bus.bury("zipper", received(requested(), **{"bad(name)": "x", "note": "naïve"}), WrongKey("two\r\nlines"))
    letter = await only_letter(DeadLetters(jetstream))
    assert letter.headers["note"] == "naïve"
    assert "bad(name)" not in letter.headers
    assert letter.reason == "two  lines"


async def test_a_dropped_letter_is_gone_and_dropping_it_again_says_so(bus: Bus, jetstream: JetStreamContext) -> None:
    await bus.bury("zipper", received(requested()), WrongKey())
    letters = DeadLetters(jetstream)
    letter = await only_letter(letters)
    await letters.drop(letter.sequence)
    assert await letters.list() == []
    with pytest.raises(NoSuchLetter):
        await letters.drop(letter.sequence)
    with pytest.raises(NoSuchLetter):
        await letters.get(letter.sequence)


async def test_without_a_server_that_answers_it_says_that_nats_is_away(bus: Bus, jetstream: JetStreamContext) -> None:
    await jetstream.delete_stream("DLQ")
    with pytest.raises(BrokerUnavailable):
        await DeadLetters(jetstream).list()
    with pytest.raises(BrokerUnavailable):
        await DeadLetters(jetstream).drop(1)


async def test_a_replay_makes_the_service_try_again_with_stage_events_and_an_end_of_their_own(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    mended = False

    async def handle(event: TrainingRequested, delivery: Delivery) -> Event:
        if not mended:
            raise WrongKey
        return ZipCreated.caused_by(
            event, **event.job_facts(), zip_key="zips/x.zip", size_bytes=1, sha256="0" * 64, image_count=5
        )

    bus = Bus("zipper", nats.url, make_tracer_provider("zipper", None))
    handlers = Handlers(ZIPPER, policy=RetryPolicy(base_s=0.05))
    handlers.on(TrainingRequested, stage=Stage.ZIP_CREATION)(handle)
    Subscription(bus, handlers, Metrics()).register()
    await bus.broker.start()
    try:
        letters = DeadLetters(jetstream)
        await bus.publish(requested())
        (first,) = await poll_until(letters.list)
        await letters.replay(first.sequence)
        (second,) = await poll_until(letters.list)
        assert second.sequence != first.sequence
        mended = True
        await letters.replay(second.sequence)
        await poll_until(lambda: events_of(jetstream, ZipCreated))
    finally:
        bus.stopping = True
        await bus.broker.stop()
    started = await events_of(jetstream, StageStarted)
    assert [event.replay for event in started] == [None, first.sequence, second.sequence]
    assert len(await events_of(jetstream, TrainingFailed)) == 2
    assert await letters.list() == []


@pytest.fixture(scope="module")
def roomy() -> Iterator[NatsServer]:
    """A server that takes 2 MB at once, as the ones that fluxline starts do."""
    with temporary_home("nats") as home:
        server = NatsServer(home)
        with (home / "nats.conf").open("a") as config:
            config.write("max_payload: 2MB\n")
        with server:
            yield server


def filling(size_bytes: int) -> Received:
    """A message of that size, headers included, as the server counts it."""
    headers = {"Nats-Msg-Id": "x", "traceparent": TRACEPARENT}
    overhead = len("NATS/1.0\r\n\r\n") + sum(len(name) + len(value) + 4 for name, value in headers.items())
    return Received("training.requested", b"x" * (size_bytes - overhead), headers, 1, 1, datetime.now(UTC))


async def test_the_largest_message_of_events_fits_into_the_dlq_with_its_reason(roomy: NatsServer) -> None:
    await provision(roomy.url)
    client = await nats_py.connect(roomy.url)
    largest = filling(EVENTS_STREAM.max_msg_bytes)
    await client.jetstream().publish(largest.subject, largest.body, headers=dict(largest.headers))
    async with connected(roomy.url) as bus:
        await bus.bury("zipper", largest, WrongKey("x" * 5000, hint="y" * 5000))
        letter = await only_letter(DeadLetters(bus.jetstream))
        assert letter.body == largest.body
        with pytest.raises(MessageRefused):  # with the mark of a replay it does not fit into EVENTS any more
            await DeadLetters(bus.jetstream).replay(letter.sequence)
        assert await DeadLetters(bus.jetstream).get(letter.sequence) == letter
    await client.close()


async def test_where_the_server_takes_no_more_the_letter_leaves_the_message_in_events(
    bus: Bus, jetstream: JetStreamContext
) -> None:
    largest = filling(EVENTS_STREAM.max_msg_bytes - 300)
    ack = await jetstream.publish(largest.subject, largest.body, headers=dict(largest.headers))
    stored = Received(largest.subject, largest.body, largest.headers, ack.seq, 1, datetime.now(UTC))
    await bus.bury("zipper", stored, WrongKey())
    letters = DeadLetters(jetstream)
    letter = await only_letter(letters)
    assert (letter.body, letter.trace_id, letter.reason) == (largest.body, TRACE, WrongKey().message)
    await jetstream.delete_msg("EVENTS", ack.seq)
    assert (await letters.get(letter.sequence)).body is None
    with pytest.raises(BodyGone):
        await letters.replay(letter.sequence)


async def test_a_message_that_is_too_large_is_refused_and_the_connection_lives(bus: Bus) -> None:
    reconnects = bus.jetstream._nc.stats["reconnects"]
    with pytest.raises(MessageRefused):
        await bus.publish_raw("training.requested", b"x" * 1024**2, {"Nats-Msg-Id": "x"})
    ack = await bus.publish_raw("training.requested", b"x" * 1_000_000, {"Nats-Msg-Id": "y"})
    assert not ack.duplicate
    assert bus.jetstream._nc.stats["reconnects"] == reconnects
