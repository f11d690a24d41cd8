"""Four no-op steps through our runtime.  python steps_fluxline.py full|bare step N | send   (NATS_URL)

`full`: stage events, logs shipped, spans made; `bare`: none of them. Step 4 prints the id of each job that has ended.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import nats

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from fluxline.contracts.catalog import PUBLISHER, TRAINER, ZIPPER, ZIPPER_CLEANUP, Consumer
from fluxline.contracts.errors import Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import ModelPublished, TrainingRequested, TrainingSucceeded, ZipCreated
from fluxline.contracts.ids import model_id_of
from fluxline.contracts.job import JobEvent
from fluxline.runtime.envelope import body_of, headers_of
from fluxline.runtime.handlers import Delivery, Handlers
from fluxline.runtime.service import Service
from fluxline.runtime.settings import ServiceSettings, load
from streams import requested  # the folder of the tests is on no path

FULL = sys.argv[1] == "full"
AT_ONCE = 64
WEIGHTS = {"weights_key": "weights/bench.tar", "sha256": "0" * 64, "size_bytes": 1, "provider": "none"}


async def to_zip(event: JobEvent, _delivery: Delivery) -> Event | None:
    """Step 1."""
    return ZipCreated.caused_by(
        event, **event.job_facts(), zip_key="zips/bench.zip", size_bytes=1, sha256="0" * 64, image_count=5
    )


async def to_weights(event: JobEvent, _delivery: Delivery) -> Event | None:
    """Step 2."""
    return TrainingSucceeded.caused_by(
        event, **event.job_facts(), **WEIGHTS, external_id="bench", provider_version="bench"
    )


async def to_model(event: JobEvent, _delivery: Delivery) -> Event | None:
    """Step 3."""
    model_id = model_id_of(event.training_id)
    return ModelPublished.caused_by(event, **event.job_facts(), **WEIGHTS, model_id=model_id, provider_version="bench")


async def to_end(event: JobEvent, _delivery: Delivery) -> Event | None:
    """Step 4."""
    print(event.training_id, flush=True)
    return None


Step = tuple[str, Consumer, type[JobEvent], Stage, Callable[[JobEvent, Delivery], Awaitable[Event | None]]]
STEPS: dict[int, Step] = {
    1: ("zipper", ZIPPER, TrainingRequested, Stage.ZIP_CREATION, to_zip),
    2: ("trainer", TRAINER, ZipCreated, Stage.REPLICATE_TRAINING, to_weights),
    3: ("publisher", PUBLISHER, TrainingSucceeded, Stage.HUGGINGFACE_UPLOAD, to_model),
    4: ("zipper", ZIPPER_CLEANUP, ModelPublished, Stage.COMPLETION, to_end),
}


def step(number: int) -> int:
    """Be one step, as a service."""
    name, consumer, event, stage, handle = STEPS[number]
    service = Service(name, load(ServiceSettings))
    handlers = Handlers(replace(consumer, batch=AT_ONCE))
    handlers.on(event, stage=stage if FULL else None)(handle)
    service.consume(handlers)

    async def say_ready() -> None:
        await service.started.wait()
        print("ready", flush=True)
        await asyncio.Event().wait()

    service.background("ready", say_ready)
    return service.run()


async def send() -> None:
    """Publish a request for each id on standard input."""
    client = await nats.connect(load(ServiceSettings).nats_url)
    jetstream = client.jetstream(publish_async_max_pending=AT_ONCE)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        event = requested(UUID(line.strip()))
        await jetstream.publish_async(event.subject, body_of(event), headers=headers_of(event, "bench"))
    await jetstream.publish_async_completed()
    await client.close()


if sys.argv[2] == "send":
    asyncio.run(send())
else:
    raise SystemExit(step(int(sys.argv[3])))
