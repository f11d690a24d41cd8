"""Events onto rows on a real PostgreSQL: once each, whatever their order, and nothing holds up the others."""

import asyncio
import json
from uuid import UUID, uuid4

import httpx
import pytest

from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.events import TrainingProgressed, TrainingRequested
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import Received, read_event
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.stages import StageAttempt
from fluxline_gateway.trainings.projection import Projection
from streams import requested

from .jobs import job_after, order_of, progressed, received


class NoCredit(FluxlineError):
    """The provider wants money."""

    category = ErrorCategory.BILLING
    hint = "Add credit."


@pytest.fixture
async def cause(client: httpx.AsyncClient, database: Database) -> TrainingRequested:
    """The request of a training that Ada has just made."""
    await client.post("/v1/trainings", json=await order_of(database))
    row = await database.pool.fetchrow("SELECT subject, body FROM outbox")
    event = read_event(row["subject"], row["body"])
    assert isinstance(event, TrainingRequested)
    return event


async def shown(client: httpx.AsyncClient, training_id: UUID) -> dict[str, object]:
    training: dict[str, object] = (await client.get(f"/v1/trainings/{training_id}")).json()
    return {name: value for name, value in training.items() if name != "updated_at"}


async def history(client: httpx.AsyncClient, training_id: UUID, **query: int) -> list[dict[str, object]]:
    path, headers = f"/v1/trainings/{training_id}/events", {"Accept": "application/json"}
    items: list[dict[str, object]] = (await client.get(path, params=query, headers=headers)).json()["items"]
    return items


async def test_a_whole_job_is_shown_as_it_happened(
    client: httpx.AsyncClient, database: Database, cause: TrainingRequested
) -> None:
    events = [cause, *job_after(cause)]
    await Projection(database).handle([received(n, event) for n, event in enumerate(events, start=1)])
    training = (await client.get(f"/v1/trainings/{cause.training_id}")).json()
    assert (training["status"], training["stage"], training["progress"]) == ("completed", "completion", 100)
    assert [stage["status"] for stage in training["stages"]] == ["succeeded"] * 4
    assert all(stage["ended_at"] and stage["duration_ms"] is not None for stage in training["stages"])
    assert training["result"]["provider_version"] == "ada/x:1"
    assert training["result"]["weights_url"] == f"/v1/models/{training['result']['model_id']}/weights"
    assert [item["type"] for item in await history(client, cause.training_id)] == [event.subject for event in events]


async def test_batches_that_overlap_come_late_and_run_at_once_end_in_the_same_state(
    client: httpx.AsyncClient, database: Database, cause: TrainingRequested
) -> None:
    batch = [received(n, event) for n, event in enumerate([cause, *job_after(cause)], start=1)]
    projection = Projection(database)
    await asyncio.gather(*(projection.handle(part) for part in (batch[6:], batch[:8], batch[4:9], batch[::-1])))
    after = await shown(client, cause.training_id)
    await projection.handle(batch)
    assert await shown(client, cause.training_id) == after
    assert after["status"] == "completed"
    assert len(await history(client, cause.training_id)) == len(batch)


async def test_an_event_published_again_has_no_second_effect(
    client: httpx.AsyncClient, database: Database, cause: TrainingRequested
) -> None:
    started = StageAttempt(Stage.ZIP_CREATION, "zipper", cause, 1)
    first = [started.started(), started.succeeded()]
    await Projection(database).handle([received(n, event) for n, event in enumerate(first, start=1)])
    await Projection(database).handle([received(9, first[0])])
    training = (await client.get(f"/v1/trainings/{cause.training_id}")).json()
    assert training["stages"][0]["status"] == "succeeded"
    assert len(await history(client, cause.training_id)) == 2


async def test_unreadable_and_impossible_messages_do_not_hold_up_their_neighbours(
    client: httpx.AsyncClient, database: Database, cause: TrainingRequested
) -> None:
    good = received(5, progressed(cause, 50))
    impossible = received(2, StageAttempt(Stage.ZIP_CREATION, "zipper", cause, 2**70).started())
    garbage = [Received(subject, b"\xff\x00", {}, 3, 1, good.stored_at) for subject in ("zip.created", "zip.unheard")]
    await Projection(database).handle([impossible, *garbage, good])
    assert [item["id"] for item in await history(client, cause.training_id)] == [5]
    assert (await client.get(f"/v1/trainings/{cause.training_id}")).json()["status"] == "zipping"


async def test_text_with_a_nul_is_kept_as_it_came(
    client: httpx.AsyncClient, database: Database, cause: TrainingRequested
) -> None:
    told = TrainingProgressed.caused_by(cause, percent=10, phase="a\x00b", log_tail=("\x00", "\\u0000"))
    await Projection(database).handle([received(1, told)])
    (item,) = await history(client, cause.training_id)
    assert item["data"] == json.loads(told.model_dump_json(exclude={"event_id", "occurred_at", "training_id"}))


async def test_events_of_a_training_that_nobody_knows_have_no_effect(database: Database) -> None:
    stray = requested(uuid4())
    events = [stray, *job_after(stray)]
    await Projection(database).handle([received(n, event) for n, event in enumerate(events, start=1)])
    for table in ("trainings", "training_events", "models"):
        assert await database.pool.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_failure_is_shown_with_its_stage_its_reason_and_its_remedy(
    client: httpx.AsyncClient, database: Database, cause: TrainingRequested
) -> None:
    attempt = StageAttempt(Stage.REPLICATE_TRAINING, "trainer", cause, 1)
    failed = training_failed(attempt, NoCredit())
    assert failed
    events = [attempt.started(), attempt.failed(NoCredit()), failed]
    await Projection(database).handle([received(n, event) for n, event in enumerate(events, start=1)])
    training = (await client.get(f"/v1/trainings/{cause.training_id}")).json()
    assert (training["status"], training["stages"][1]["status"]) == ("failed", "failed")
    assert training["error"] == {
        "stage": "replicate_training",
        "category": "billing",
        "retryable": False,
        "message": "The provider wants money.",
        "hint": "Add credit.",
    }


async def test_the_history_is_read_page_by_page(
    client: httpx.AsyncClient, database: Database, cause: TrainingRequested
) -> None:
    await Projection(database).handle([received(n, progressed(cause, n)) for n in range(1, 8)])
    path, headers = f"/v1/trainings/{cause.training_id}/events", {"Accept": "application/json"}
    cursor, seen = 0, []
    while cursor is not None:
        page = (await client.get(path, params={"limit": 3, "cursor": cursor}, headers=headers)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert [item["id"] for item in await history(client, cause.training_id, after=5)] == [6, 7]
