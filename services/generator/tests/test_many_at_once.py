"""Many generations at once in one process: what the provider sees, what it charges, and what memory it takes.

`GENERATIONS_AT_ONCE=100` runs the full figure against the sandbox, which draws every image.
"""

import asyncio
import io
import os
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from PIL import Image

from fluxline.contracts.events import GenerationRequested
from fluxline.storage.local import LocalStorage
from fluxline_generator.errors import OutcomeUnknown
from fluxline_generator.generator import Generator
from fluxline_generator.orders import Order
from fluxline_generator.predictions import Prediction
from fluxline_generator.prompts import Wanted
from fluxline_generator.replicate_api import ReplicateApi, order_of
from fluxline_generator.store import Generation, GenerationStore

from .conftest import PRICES, QUICK, SandboxReplicate, wanted

GENERATIONS = int(os.environ.get("GENERATIONS_AT_ONCE", "24"))
AT_ONCE = 4
IMAGE_BYTES = 3 * 1024 * 1024
MEMORY_BYTES = 16 * IMAGE_BYTES


class Counting(ReplicateApi):
    """A client that counts the runs that have begun and not ended."""

    def __init__(self, replicate: SandboxReplicate) -> None:
        super().__init__(replicate.token, f"{replicate.url}/replicate", timeout_s=60)
        replicate.clients.append(self)
        self.going: set[str] = set()
        self.creating = self.most = 0

    async def create(self, order: Order) -> Prediction:
        self.creating += 1
        self.most = max(self.most, self.creating + len(self.going))
        try:
            run = await super().create(order)
        finally:
            self.creating -= 1
        self.going.add(run.id)
        return run

    async def get(self, prediction_id: str) -> Prediction | None:
        run = await super().get(prediction_id)
        if run is None or run.ended:
            self.going.discard(prediction_id)
        return run


async def test_each_is_paid_once_though_delivered_twice_and_the_provider_s_limit_holds(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    client = Counting(replicate)
    works = Generator(store, [client], storage, PRICES, pace=QUICK, at_once=AT_ONCE)
    events = [
        wanted(replicate.version, parameters={"aspect_ratio": "21:9", "output_format": "jpg", "num_inference_steps": 4})
        for _ in range(GENERATIONS)
    ]
    done = await asyncio.gather(*(_delivered(works, event) for event in events for _ in range(2)))
    assert {generation.state for generation in done} == {"succeeded"}
    assert set(Counter(generation.prediction_id for generation in done).values()) == {2}
    assert replicate.generations() == GENERATIONS
    assert 1 < client.most <= AT_ONCE


async def _delivered(works: Generator, event: GenerationRequested) -> Generation:
    """What the runtime does: again, while another delivery is at it."""
    while True:
        try:
            return await works.generate(event)
        except OutcomeUnknown:
            await asyncio.sleep(0.05)


class Heavy:
    """A provider whose runs are done at once and whose images are large."""

    name = "replicate"
    lists = True

    def __init__(self) -> None:
        self.image = _large_jpeg()

    def order(self, wanted: Wanted) -> Order | None:
        return order_of(wanted)

    async def create(self, order: Order) -> Prediction:
        return _run(uuid4().hex)

    async def get(self, prediction_id: str) -> Prediction | None:
        return _run(prediction_id)

    async def cancel(self, prediction_id: str) -> None:
        raise AssertionError("nothing is canceled here")

    async def recent(self, since_s: float) -> AsyncIterator[Prediction]:
        none: tuple[Prediction, ...] = ()
        for run in none:
            yield run

    async def download(self, url: str, target: Path) -> None:
        await asyncio.to_thread(target.write_bytes, self.image)

    async def close(self) -> None:
        return None


async def test_a_hundred_at_once_take_the_memory_of_a_few(store: GenerationStore, storage: LocalStorage) -> None:
    works = Generator(store, [Heavy()], storage, PRICES, pace=QUICK, at_once=AT_ONCE)
    events = [wanted(None, parameters={"output_format": "jpg"}) for _ in range(100)]
    tracemalloc.start()
    try:
        done = await asyncio.gather(*(works.generate(event) for event in events))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len({generation.prediction_id for generation in done}) == 100
    sizes = [item.size_bytes async for item in storage.list("generations/")]
    assert (len(sizes), min(sizes) >= IMAGE_BYTES) == (100, True)
    assert peak < MEMORY_BYTES, f"{peak / 1e6:.0f} MB for images of {sum(sizes) / 1e6:.0f} MB"


def _run(prediction_id: str) -> Prediction:
    output = ["https://images.example/0.jpg"]
    facts = {"id": prediction_id, "status": "succeeded", "created_at": datetime.now(UTC), "output": output}
    return Prediction.model_validate(facts)


def _large_jpeg() -> bytes:
    """A small picture with comments that make it large."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 120, 40)).save(out, "JPEG")
    small = out.getvalue()
    comment = b"\xff\xfe\xff\xff" + bytes(0xFFFF - 2)
    return small[:2] + comment * (IMAGE_BYTES // len(comment) + 1) + small[2:]
