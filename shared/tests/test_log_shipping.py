"""What a service logs reaches the stream LOGS with its job and its trace, and never gets in anybody's way."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from time import perf_counter
from typing import Any, NoReturn
from uuid import uuid4

import pytest
from nats.js import JetStreamContext
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.contextvars import bound_contextvars

from fluxline.contracts.catalog import ZIPPER
from fluxline.contracts.errors import Stage
from fluxline.contracts.events import TrainingRequested
from fluxline.contracts.logs import LogRecord
from fluxline.runtime.handlers import Delivery, Handlers
from fluxline.runtime.log_records import MAX_FIELD_CHARS, MAX_FIELDS_CHARS, LogQueue, QueueHandler
from fluxline.runtime.logs import get_logger, setup_logs
from fluxline.runtime.otlp import encode
from fluxline.runtime.provision import provision
from fluxline.runtime.service import Service
from fluxline.runtime.settings import ServiceSettings
from otlp import spans_of
from polling import poll_until
from servers import NatsServer, nats_server
from streams import messages_of, requested

SECRET = "hf_abcdefghijklmnopqrst"


@pytest.fixture(autouse=True)
def root_handlers() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.fixture
def queue() -> LogQueue:
    """Where the log of this test ends up."""
    queue = LogQueue()
    setup_logs("tester", "DEBUG", queue)
    return queue


def fail(message: str) -> NoReturn:
    raise ValueError(message)


def taken(queue: LogQueue) -> list[LogRecord]:
    return [LogRecord.model_validate_json(line) for line in queue.take(max_records=10_000, max_bytes=2**30)]


def service_of(nats: NatsServer, **settings: Any) -> Service:
    return Service("tester", ServiceSettings(nats_url=nats.url, _env_file=None, **settings))


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Service]:
    async with service.lifespan():
        await service.started.wait()
        yield service


async def shipped(jetstream: JetStreamContext) -> list[LogRecord]:
    messages = await messages_of(jetstream, "LOGS")
    return [LogRecord.model_validate_json(line) for message in messages for line in (message.data or b"").split(b"\n")]


async def find(jetstream: JetStreamContext, event: str) -> list[LogRecord]:
    return [record for record in await shipped(jetstream) if record.event == event]


def test_a_record_has_the_job_the_trace_and_the_fields(queue: LogQueue) -> None:
    training_id = uuid4()
    with (
        bound_contextvars(training_id=str(training_id), attempt=2),
        TracerProvider().get_tracer("t").start_as_current_span("s") as span,
    ):
        get_logger("fluxline.test").warning("zip.odd", size_bytes=5, where={"a": [1]})
    (record,) = taken(queue)
    assert (record.event, record.level, record.service, record.logger) == (
        "zip.odd",
        "warning",
        "tester",
        "fluxline.test",
    )
    assert record.training_id == training_id
    assert record.trace_id == format(span.get_span_context().trace_id, "032x")
    span_id = format(span.get_span_context().span_id, "016x")
    assert record.fields == {"attempt": 2, "size_bytes": 5, "where": {"a": [1]}, "span_id": span_id}


def test_libraries_ship_warnings_only_and_the_way_itself_ships_nothing(queue: LogQueue) -> None:
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("trouble %s", 1)
    get_logger("fluxline.test").debug("detail")
    for name in ("nats.aio.client", "nats", "faststream", "fluxline.runtime.log_shipping"):
        logging.getLogger(name).error("of the way")
        get_logger(name).error("of the way")
    assert [record.event for record in taken(queue)] == ["trouble 1"]


class Leaky:
    def __repr__(self) -> str:
        return f"<Leaky {SECRET}>"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError(SECRET)


def test_no_secret_leaves_in_a_field_a_name_an_object_or_a_traceback(queue: LogQueue) -> None:
    log = get_logger("fluxline.test")
    try:
        fail(f"token {SECRET}")
    except ValueError as error:
        log.exception("failed", error=error, reason=str(error), **{SECRET: 1})
        logging.getLogger("some.library").exception("failed with %s", SECRET)
    log.warning(f"event {SECRET}", leaky=Leaky(), raw=SECRET.encode(), deep=[{"a": Leaky()}])
    lines = queue.take(max_records=10, max_bytes=2**20)
    assert len(lines) == 3
    assert b"Traceback" in lines[0]
    assert b"Traceback" in lines[1]
    assert SECRET[3:].encode() not in b"".join(lines)


def test_no_secret_is_written_to_stderr_by_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logs("tester", "INFO")
    get_logger("fluxline.test").warning("odd", leaky=Leaky())
    written = capsys.readouterr().err
    assert "Leaky" in written
    assert SECRET not in written


def test_an_object_that_cannot_be_shown_stops_nobody(queue: LogQueue) -> None:
    get_logger("fluxline.test").warning("odd", broken=Broken(), deep=[Broken()])
    (record,) = taken(queue)
    assert record.fields == {"broken": "<Broken>", "deep": ["<Broken>"]}


def test_what_cannot_be_written_is_counted_and_raises_nothing(queue: LogQueue) -> None:
    dropped: list[int] = []
    queue.on_dropped = dropped.append
    handler = QueueHandler(queue, logging.Formatter("%(nothing)s"))
    handler.handle(logging.makeLogRecord({"name": "x", "levelno": logging.ERROR, "msg": "x"}))
    assert (dropped, taken(queue)) == ([1], [])


def test_a_large_field_is_cut_and_says_so(queue: LogQueue) -> None:
    log = get_logger("fluxline.test")
    log.info("large", text="x" * 1_000_000, items=["y" * 100] * 10_000)
    log.info("many", **{f"field_{n}": "z" * 5000 for n in range(100)})
    log.info("e" * 100_000)
    try:
        fail("a" * 100_000 + " the end")
    except ValueError:
        log.exception("trace")
    lines = queue.take(max_records=10, max_bytes=2**30)
    assert max(map(len, lines)) < 2 * MAX_FIELDS_CHARS
    large, many, _, trace = (LogRecord.model_validate_json(line) for line in lines)
    assert "991808 of 1000000 characters cut" in large.fields["text"]
    assert len(large.fields["items"]) < MAX_FIELD_CHARS + 100
    assert "fields are left out" in many.fields["cut"]
    assert trace.fields["exception"].endswith("the end")


def test_the_oldest_records_give_way_and_are_counted() -> None:
    dropped: list[int] = []
    queue = LogQueue(max_records=3, max_bytes=100)
    queue.on_dropped = dropped.append
    for number in range(5):
        queue.put(b"%d" % number)
    assert queue.take(max_records=2, max_bytes=100) == [b"2", b"3"]
    queue.put(b"x" * 100)
    assert queue.take(max_records=9, max_bytes=10) == [b"x" * 100]
    assert sum(dropped) == 3
    queue.put(b"x" * 101)
    assert queue.take(max_records=9, max_bytes=10) == []
    assert sum(dropped) == 4


async def test_a_service_ships_its_log_up_to_its_last_lines(nats: NatsServer, jetstream: JetStreamContext) -> None:
    async with running(service_of(nats)):
        get_logger("fluxline.test").info("first")
        (record,) = await poll_until(lambda: find(jetstream, "first"))
        get_logger("fluxline.test").info("last")
    assert await find(jetstream, "last")
    assert record.service == "tester"


async def test_the_log_stays_where_it_is_when_told_so(nats: NatsServer, jetstream: JetStreamContext) -> None:
    async with running(service_of(nats, log_shipping=False)):
        get_logger("fluxline.test").info("first")
    assert await shipped(jetstream) == []


async def test_lines_of_a_handler_tell_the_job_and_the_stage(nats: NatsServer, jetstream: JetStreamContext) -> None:
    async def handle(event: TrainingRequested, delivery: Delivery) -> None:
        get_logger("fluxline.test").info("handling")

    service, event = service_of(nats), requested()
    handlers = Handlers(ZIPPER)
    handlers.on(TrainingRequested, stage=Stage.ZIP_CREATION)(handle)
    service.consume(handlers)
    async with running(service):
        await service.bus.publish(event)
        (record,) = await poll_until(lambda: find(jetstream, "handling"))
    assert record.training_id == event.training_id
    assert record.trace_id
    assert record.fields.pop("span_id")
    assert record.fields == {"subject": "training.requested", "stage": "zip_creation", "attempt": 1}


async def test_while_nats_is_away_nobody_waits_and_what_fits_is_shipped_later() -> None:
    with nats_server() as nats:
        await provision(nats.url)
        service = service_of(nats)
        async with running(service):
            log = get_logger("fluxline.test")
            await asyncio.to_thread(nats.kill)
            await poll_until(lambda: not service.bus.jetstream._nc.is_connected)
            begun = perf_counter()
            for number in range(2500):
                log.info("away", number=number)
            assert perf_counter() - begun < 5
            await asyncio.to_thread(nats.restart)
            await poll_until(lambda: _metric(service, "fluxline_logs_shipped_total") >= 2000)
            numbers = [record.fields["number"] for record in await find(service.bus.jetstream, "away")]
        assert numbers == list(range(500, 2500))[-len(numbers) :]
        assert len(numbers) > 1900
        assert _metric(service, "fluxline_logs_dropped_total") >= 500


def _metric(service: Service, name: str) -> float:
    return service.metrics.registry.get_sample_value(name) or 0.0


def test_spans_leave_without_secrets() -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("t")
    with suppress(ValueError), tracer.start_as_current_span(f"GET /x?token={SECRET}", attributes={"steps": 5}) as span:
        span.set_attribute("http.url", "https://x/y?X-Amz-Signature=abcdef0123456789")
        span.set_attribute("http.request.header.authorization", ["Bearer abcdefgh12345678"])
        span.add_event(f"event {SECRET}", {"messaging.body": SECRET})
        fail(SECRET)
    sent = encode(kept.get_finished_spans())
    for secret in (SECRET, "abcdef0123456789", "abcdefgh12345678"):
        assert secret.encode() not in sent
    (span_out,) = spans_of(sent)
    assert span_out.attributes["steps"] == 5
    assert int(span_out.span_id, 16) == span.get_span_context().span_id
    assert span_out.failed
