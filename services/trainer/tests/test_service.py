"""The trainer as a process, on a real NATS: from zip.created to training.succeeded, and woken in every way."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from nats.js import JetStreamContext
from opentelemetry import trace
from pydantic import ValidationError

from fluxline.contracts.errors import FluxlineError
from fluxline.contracts.events import TrainingFailed, TrainingProgressed, TrainingStarted, TrainingSucceeded
from fluxline.runtime.service import Service
from fluxline.runtime.settings import explain
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_trainer.app import build
from fluxline_trainer.job import JobState
from fluxline_trainer.settings import TrainerSettings
from polling import poll_until
from servers import NatsServer
from streams import events_of, messages_of

from .bench import Bench

Trainer = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def trainer(nats: NatsServer, jetstream: JetStreamContext, bench: Bench) -> Trainer:
    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[Service]:
        service = build(
            bench.settings(**{"nats_url": nats.url, "poll_seconds": [0.3], **changes}), Unclosed(bench.storage)
        )
        async with service.lifespan():
            await service.started.wait()
            yield service

    return start


class Unclosed:
    """The test's storage, which outlives the services that close it."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    async def close(self) -> None:
        return None


async def test_an_archive_becomes_a_trained_model_under_one_trace(
    trainer: Trainer, bench: Bench, jetstream: JetStreamContext
) -> None:
    bench.stand.configure(training_seconds=1)
    event = await bench.archive()
    tracer = make_tracer_provider("test", None).get_tracer("test")
    async with trainer() as service:
        with tracer.start_as_current_span("POST") as span:
            await service.bus.publish(event)
            trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        await poll_until(lambda: events_of(jetstream, TrainingSucceeded), timeout_s=20)
        await poll_until(lambda: ended(jetstream))
        readiness = await service.health.readiness()
    assert set(readiness.values()) == {"ok"}
    messages = await messages_of(jetstream)
    subjects = [message.subject for message in messages]
    assert subjects[:3] == ["zip.created", "stage.started", "training.started"]
    assert subjects[-2:] == ["training.succeeded", "stage.succeeded"]
    assert len(await events_of(jetstream, TrainingProgressed)) >= 1
    assert {(message.headers or {})["traceparent"].split("-")[1] for message in messages} == {trace_id}


async def ended(jetstream: JetStreamContext) -> bool:
    return any(message.subject == "stage.succeeded" for message in await messages_of(jetstream))


async def test_an_event_that_comes_five_times_is_one_training(
    trainer: Trainer, bench: Bench, jetstream: JetStreamContext
) -> None:
    event = await bench.archive()
    async with trainer() as service:
        for copy in range(5):
            await service.bus.publish(event, headers={"Nats-Msg-Id": f"copy {copy}"})
        await poll_until(lambda: events_of(jetstream, TrainingSucceeded), timeout_s=20)
    assert bench.stand.trainings() == len(await events_of(jetstream, TrainingStarted)) == 1


async def test_a_webhook_makes_it_sooner_than_any_timer(
    trainer: Trainer, bench: Bench, jetstream: JetStreamContext
) -> None:
    training_id = (event := await bench.archive()).training_id
    async with trainer(poll_seconds=[3600]) as service:
        await service.bus.publish(event)
        (started,) = await poll_until(lambda: events_of(jetstream, TrainingStarted), timeout_s=20)
        await poll_until(lambda: is_over(bench, started.external_id))
        assert await bench.state(training_id) is JobState.TRAINING
        for key in ("replicate:unknown", "no id at all", str(uuid4()), f"replicate:{started.external_id}"):
            await service.bus.wake("trainer", key)
        await poll_until(lambda: events_of(jetstream, TrainingSucceeded), timeout_s=20)
    assert await bench.state(training_id) is JobState.SUCCEEDED


async def is_over(bench: Bench, run_id: str) -> bool:
    return (await bench.api().get(run_id)).status.is_final


async def test_lost_timers_are_swept_up(trainer: Trainer, bench: Bench, jetstream: JetStreamContext) -> None:
    async with trainer(sweep_s=0.3) as service:
        await jetstream.purge_stream("TIMERS")
        await service.bus.publish(await bench.archive())
        await poll_until(lambda: purged_and_done(jetstream), timeout_s=20)


async def purged_and_done(jetstream: JetStreamContext) -> bool:
    await jetstream.purge_stream("TIMERS")
    return bool(await events_of(jetstream, TrainingSucceeded))


async def test_what_a_dead_process_left_is_taken_up_at_once(
    trainer: Trainer, bench: Bench, jetstream: JetStreamContext
) -> None:
    training_id = await bench.job()
    bench.stand.fault("trainings.create", "drop_answer")
    await bench.engine(settle_s=60).advance(training_id)
    await bench.database.pool.execute("UPDATE jobs SET next_check_at = now() + interval '20 s'")
    async with trainer(settle_s=60):
        await poll_until(lambda: events_of(jetstream, TrainingSucceeded), timeout_s=10)
    assert bench.stand.trainings() == 1


async def test_a_failure_ends_the_job_on_the_stream(
    trainer: Trainer, bench: Bench, jetstream: JetStreamContext
) -> None:
    bench.stand.configure(credit_exhausted=True)
    async with trainer() as service:
        await service.bus.publish(await bench.archive())
        (failed,) = await poll_until(lambda: events_of(jetstream, TrainingFailed), timeout_s=20)
    assert (failed.category, failed.stage) == ("billing", "replicate_training")


def test_without_its_configuration_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NATS_URL", "DATABASE_URL", "REPLICATE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRAINER_POLL_SECONDS", "[0]")
    with pytest.raises(ValidationError) as refused:
        TrainerSettings()
    text = explain(TrainerSettings, refused.value)
    assert "REPLICATE_API_TOKEN: is not set → make an API token at https://replicate.com" in text
    assert "TRAINER_POLL_SECONDS: must be numbers of seconds" in text


def test_every_error_says_what_to_do() -> None:
    import fluxline_trainer.errors as errors

    ours = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, FluxlineError)]
    assert len(ours) > 15
    assert all(
        error.hint != FluxlineError.hint and (error.__doc__ or "").strip()
        for error in ours
        if error is not FluxlineError
    )
