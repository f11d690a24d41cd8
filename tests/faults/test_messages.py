"""What should not be on the bus: copies, disorder, garbage. Neighbours are handled, garbage is kept for a look."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from uuid import uuid4

import nats
import pytest
from nats.js import JetStreamContext

from polling import poll_until

from .conftest import Observe
from .rows import fault
from .scene import MILESTONES, Scene

MEGABYTE = 1024 * 1024
_STORED = "SELECT subject, body FROM collector.events WHERE training_id = $1::text::uuid AND readable"
_KEPT = "SELECT count(*) FROM collector.events WHERE NOT readable AND headers->>'row' = $1"


@asynccontextmanager
async def jetstream_of(scene: Scene) -> AsyncIterator[JetStreamContext]:
    """The stack's JetStream."""
    client = await nats.connect(scene.stack.state["nats_url"])
    try:
        yield client.jetstream(timeout=10)
    finally:
        await client.close()


@pytest.mark.parametrize(
    "when",
    [
        pytest.param(
            when,
            id=when,
            marks=fault(
                f"F{number:03d}",
                component="bus",
                fault=f"every event of a job again with another message id, shuffled, {what}",
                promise="the same end; one bill, one publication",
            ),
        )
        for number, when, what in [(120, "after", "after its end"), (121, "during", "while another job runs")]
    ],
)
async def test_copies_in_any_order_change_nothing(scene: Scene, observe: Observe, seed: Random, when: str) -> None:
    [training_id] = await scene.submit()
    seen = await scene.completed([training_id])
    before = (await scene.api.get(f"/v1/trainings/{training_id}")).json()
    rows = await scene.query(_STORED, training_id)
    assert {row["subject"] for row in rows} > set(MILESTONES)
    seed.shuffle(rows)
    others = await scene.submit() if when == "during" else []
    async with jetstream_of(scene) as jetstream:
        for row in rows:
            await jetstream.publish(row["subject"], row["body"], headers={"Nats-Msg-Id": str(uuid4())})
    await scene.completed([training_id, *others], copies=True)
    after = (await scene.api.get(f"/v1/trainings/{training_id}")).json()
    same = ("status", "progress", "result", "cost", "stages", "error")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    observe(f"{seen}; {'every event' if rows else ''} twice, nothing changed")


GARBAGE = {
    "not JSON": ("zip.created", b"{"),
    "empty": ("training.requested", b""),
    "of the wrong type": ("training.succeeded", b'["a", 1]'),
    "without its fields": ("zip.created", b"{}"),
    "with a wrong field": ("training.requested", json.dumps({"event_id": "x", "training_id": 7}).encode()),
    "not UTF-8": ("training.succeeded", b"\xff\xfe\x00\x01"),
    "nested too deeply": ("zip.created", b"[" * 100_000),
    "almost a megabyte": ("training.requested", b'{"name": "' + b"x" * (MEGABYTE - 4096) + b'"}'),
}


@fault(
    "F122",
    component="bus",
    fault=f"{len(GARBAGE)} malformed events between those of jobs: {', '.join(GARBAGE)}",
    promise="each is buried as a dead letter and stored; the jobs are not held up",
)
async def test_malformed_events_are_buried_and_their_neighbours_handled(scene: Scene, observe: Observe) -> None:
    durables = {"zip.created": "trainer", "training.requested": "zipper", "training.succeeded": "publisher"}
    before = {durable: await scene.dead_letters(durable) for durable in durables.values()}
    row = str(uuid4())
    ids = await scene.submit(2)
    async with jetstream_of(scene) as jetstream:
        for subject, body in GARBAGE.values():
            await jetstream.publish(subject, body, headers={"Nats-Msg-Id": str(uuid4()), "row": row})
    ids += await scene.submit(2)
    seen = await scene.completed(ids)
    for durable in set(durables.values()):
        expected = sum(durables[subject] == durable for subject, _ in GARBAGE.values())
        assert await scene.dead_letters(durable) - before[durable] == expected, durable
    assert (await scene.query(_KEPT, row))[0][0] == len(GARBAGE)
    observe(f"{len(GARBAGE)} dead letters, {len(GARBAGE)} stored; {seen}")


@fault(
    "F123",
    component="bus",
    fault="an event of a subject that nobody knows, and one of a training that nobody asked for",
    promise="stored, without effect; jobs go on",
)
async def test_unknown_subjects_and_trainings_have_no_effect(scene: Scene, observe: Observe) -> None:
    row, stranger = (
        str(uuid4()),
        {"event_id": str(uuid4()), "training_id": str(uuid4()), "occurred_at": "2030-01-01T00:00:00Z"},
    )
    async with jetstream_of(scene) as jetstream:
        await jetstream.publish("training.nobody_knows", b"{}", headers={"Nats-Msg-Id": row, "row": row})
        await jetstream.publish("training.progressed", json.dumps({**stranger, "percent": 5}).encode())
    seen = await scene.completed(await scene.submit())

    async def kept() -> bool:
        return (await scene.query(_KEPT, row))[0][0] == 1

    await poll_until(kept, timeout_s=10)
    assert (await scene.api.get(f"/v1/trainings/{stranger['training_id']}")).status_code == 404
    observe(f"stored; {seen}")
