"""Cancel, retry and delete over HTTP on a real PostgreSQL: one event for one wish, and nothing comes back."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import pytest

from fluxline.contracts import events as e
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.job import HubPublication
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import read_event
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.stages import StageAttempt
from fluxline_gateway.errors import PROBLEM_JSON
from fluxline_gateway.trainings.projection import Projection

from .jobs import ClientOf, job_after, order_of, progressed, received

E = TypeVar("E", bound=Event)
CLICKS = 20


class HubDown(FluxlineError):
    """Hugging Face does not answer."""

    category = ErrorCategory.SERVICE_ERROR
    hint = "Wait."


class WeightsDamaged(FluxlineError):
    """The archive of weights is damaged."""

    category = ErrorCategory.FILE_ERROR
    resume_from = Stage.REPLICATE_TRAINING
    hint = "Retry."


@dataclass
class Job:
    """A training of Ada's, its stream, and what the gateway has said about it."""

    client: httpx.AsyncClient
    database: Database
    cause: e.TrainingRequested
    sequences: list[int] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/v1/trainings/{self.cause.training_id}"

    async def happens(self, *events: Event) -> None:
        """These events come through the stream, one after the other."""
        batch = []
        for event in events:
            self.sequences.append(len(self.sequences) + 1)
            batch.append(received(self.sequences[-1], event))
        await Projection(self.database).handle(batch)

    async def fails(self, cause: Event, stage: Stage, error: FluxlineError) -> None:
        attempt = StageAttempt(stage, "test", cause, 1)
        failed = training_failed(attempt, error)
        assert failed
        await self.happens(attempt.started(), attempt.failed(error), failed)

    async def post(self, action: str, **headers: str) -> httpx.Response:
        return await self.client.post(f"{self.path}/{action}", headers=headers)

    async def delete(self, **query: Any) -> httpx.Response:
        return await self.client.delete(self.path, params=query)

    async def shown(self) -> dict[str, Any]:
        answer = await self.client.get(self.path)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def said(self, event_class: type[E]) -> list[E]:
        """What of this kind is in the outbox."""
        rows = await self.database.pool.fetch(
            "SELECT subject, body FROM outbox WHERE subject = $1 ORDER BY id", event_class.subject
        )
        events = [read_event(row["subject"], row["body"]) for row in rows]
        return [event for event in events if isinstance(event, event_class)]

    async def rows(self) -> dict[str, int]:
        """How many rows are left of it."""
        tables = ("trainings", "training_events", "models", "generations")
        return {table: await self.database.pool.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


NOTHING = {"trainings": 0, "training_events": 0, "models": 0, "generations": 0}


@pytest.fixture
async def job(client: httpx.AsyncClient, database: Database) -> Job:
    order = await order_of(database)
    order["captions"] = {order["image_ids"][0]: "a portrait of ADATOK"}
    answer = await client.post("/v1/trainings", json=order)
    assert answer.status_code == 202, answer.text
    [row] = await database.pool.fetch("SELECT subject, body FROM outbox")
    cause = read_event(row["subject"], row["body"])
    assert isinstance(cause, e.TrainingRequested)
    job = Job(client, database, cause)
    await job.happens(cause)
    return job


def canceled(cause: Event, stage: Stage = Stage.ZIP_CREATION) -> e.TrainingCanceled:
    return e.TrainingCanceled.caused_by(cause, stage=stage)


def up_to(job: Job, event_class: type[Event]) -> list[Event]:
    """What happens after the request, up to the first event of that kind."""
    events = job_after(job.cause)
    last = next(n for n, event in enumerate(events) if isinstance(event, event_class))
    return events[: last + 1]


def on_hub(job: Job) -> list[Event]:
    """The whole job, ending with a model on Hugging Face."""
    hub = HubPublication(repo="ada/x", commit="0" * 40, url="https://hub.test/ada/x", private=True)
    return [
        event.model_copy(update={"huggingface": hub}) if isinstance(event, e.ModelPublished) else event
        for event in job_after(job.cause)
    ]


def refused(answer: httpx.Response) -> bool:
    assert answer.status_code == 409, answer.text
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert answer.json()["hint"]
    assert answer.json()["detail"]
    return True


async def test_a_cancelation_is_shown_at_once_and_ends_when_the_stage_has_stopped(job: Job) -> None:
    await job.happens(*up_to(job, e.ZipProgressed))
    answer = await job.post("cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "canceling")
    assert answer.headers["location"] == job.path
    [asked] = await job.said(e.TrainingCancelRequested)
    assert (asked.training_id, asked.run, asked.reason) == (job.cause.training_id, 0, "owner")
    await job.happens(asked, canceled(asked))
    shown = await job.shown()
    assert (shown["status"], shown["stages"][0]["status"]) == ("canceled", "canceled")
    assert shown["stages"][0]["ended_at"]
    assert (await job.client.get("/v1/trainings", params={"status": "canceled"})).json()["items"]


async def test_many_clicks_on_cancel_are_one_cancelation(job: Job) -> None:
    answers = await asyncio.gather(*(job.post("cancel") for _ in range(CLICKS)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(await job.said(e.TrainingCancelRequested)) == 1


async def test_what_is_canceled_already_is_shown_and_nothing_more_happens(job: Job) -> None:
    await job.happens(canceled(job.cause))
    answer = await job.post("cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "canceled")
    assert await job.said(e.TrainingCancelRequested) == []


async def test_an_ended_training_is_not_canceled(job: Job) -> None:
    await job.fails(job.cause, Stage.ZIP_CREATION, HubDown())
    assert refused(await job.post("cancel"))
    await job.happens(*job_after(job.cause))
    assert refused(await job.post("cancel"))
    assert await job.said(e.TrainingCancelRequested) == []


@pytest.mark.parametrize("first", ["cancel", "event"])
async def test_a_cancelation_and_the_end_in_any_order_end_completed(job: Job, first: str) -> None:
    *before, published, succeeded = job_after(job.cause)
    await job.happens(*before)
    works = [job.post("cancel"), job.happens(published, succeeded)]
    await asyncio.gather(*(works if first == "cancel" else works[::-1]))
    await job.happens(*await job.said(e.TrainingCancelRequested))
    assert (await job.shown())["status"] == "completed"


@pytest.mark.parametrize("stage", [Stage.ZIP_CREATION, Stage.REPLICATE_TRAINING, Stage.HUGGINGFACE_UPLOAD])
async def test_a_retry_begins_at_the_stage_that_failed_with_its_input(job: Job, stage: Stage) -> None:
    inputs = {Stage.REPLICATE_TRAINING: e.ZipCreated, Stage.HUGGINGFACE_UPLOAD: e.TrainingSucceeded}
    before = up_to(job, inputs[stage]) if stage in inputs else []
    await job.happens(*before)
    cause = before[-1] if before else job.cause
    await job.fails(cause, stage, HubDown())
    answer = await job.post("retry")
    status = {"zip_creation": "zipping", "replicate_training": "training", "huggingface_upload": "publishing"}[stage]
    assert (answer.status_code, answer.json()["status"], answer.json()["error"]) == (202, status, None)
    assert {s["stage"]: s["status"] for s in answer.json()["stages"]}[stage] == "pending"
    [retry] = await job.said(e.TrainingRetryRequested)
    assert (retry.from_stage, retry.run, retry.training_id) == (stage, 1, job.cause.training_id)
    assert retry.job_facts() == job.cause.job_facts() | {"run": 1}
    assert retry.images == (job.cause.images if stage is Stage.ZIP_CREATION else ())
    assert retry.zip_created == (cause if stage is Stage.REPLICATE_TRAINING else None)
    assert retry.training_succeeded == (cause if stage is Stage.HUGGINGFACE_UPLOAD else None)
    await job.happens(retry)
    assert (await job.shown())["status"] == status


async def test_a_retry_keeps_the_captions(job: Job) -> None:
    await job.fails(job.cause, Stage.ZIP_CREATION, HubDown())
    await job.post("retry")
    [retry] = await job.said(e.TrainingRetryRequested)
    assert retry.images[0].caption == "a portrait of ADATOK"


async def test_a_retry_begins_earlier_where_the_error_says_so(job: Job) -> None:
    before = up_to(job, e.TrainingSucceeded)
    await job.happens(*before)
    await job.fails(before[-1], Stage.HUGGINGFACE_UPLOAD, WeightsDamaged())
    assert (await job.post("retry")).json()["status"] == "training"
    [retry] = await job.said(e.TrainingRetryRequested)
    assert retry.from_stage is Stage.REPLICATE_TRAINING
    assert retry.zip_created in before


async def test_a_retry_begins_earlier_where_an_input_is_not_known(job: Job) -> None:
    await job.fails(job.cause, Stage.HUGGINGFACE_UPLOAD, HubDown())
    await job.post("retry")
    [retry] = await job.said(e.TrainingRetryRequested)
    assert retry.from_stage is Stage.ZIP_CREATION


async def test_many_clicks_on_retry_are_one_retry(job: Job) -> None:
    await job.fails(job.cause, Stage.ZIP_CREATION, HubDown())
    answers = await asyncio.gather(*(job.post("retry") for _ in range(CLICKS)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert len(await job.said(e.TrainingRetryRequested)) == 1


async def test_a_retry_that_fails_can_be_retried_with_what_the_newest_run_made(job: Job) -> None:
    before = up_to(job, e.ZipCreated)
    await job.happens(*before)
    await job.fails(before[-1], Stage.REPLICATE_TRAINING, WeightsDamaged())
    await job.post("retry")
    [first] = await job.said(e.TrainingRetryRequested)
    archive = {"zip_key": "z1.zip", "size_bytes": 2, "sha256": "1" * 64, "image_count": 5}
    again = e.ZipCreated.caused_by(first, **first.job_facts(), **archive)
    await job.happens(first, again)
    await job.fails(again, Stage.REPLICATE_TRAINING, HubDown())
    assert (await job.shown())["status"] == "failed"
    assert (await job.post("retry")).json()["status"] == "training"
    second = (await job.said(e.TrainingRetryRequested))[-1]
    assert (second.run, second.zip_created) == (2, again)
    assert second.event_id != first.event_id


async def test_a_late_failure_of_the_run_before_does_not_end_the_retry(job: Job) -> None:
    await job.fails(job.cause, Stage.ZIP_CREATION, HubDown())
    await job.post("retry")
    late = training_failed(StageAttempt(Stage.ZIP_CREATION, "test", job.cause, 1, replay=7), HubDown())
    assert late
    await job.happens(late, *await job.said(e.TrainingRetryRequested))
    assert (await job.shown())["status"] == "zipping"


async def test_only_what_has_failed_is_retried(job: Job) -> None:
    assert refused(await job.post("retry"))
    await job.post("cancel")
    assert refused(await job.post("retry"))
    await job.happens(canceled(job.cause))
    assert refused(await job.post("retry"))
    await job.happens(*job_after(job.cause))
    assert refused(await job.post("retry"))
    assert await job.said(e.TrainingRetryRequested) == []


async def test_a_retry_can_be_canceled(job: Job) -> None:
    await job.happens(e.TrainingCancelRequested.first(f"{job.cause.training_id}/0", training_id=job.cause.training_id))
    await job.fails(job.cause, Stage.ZIP_CREATION, HubDown())
    assert (await job.post("retry")).json()["status"] == "zipping"
    assert (await job.post("cancel")).json()["status"] == "canceling"
    assert [asked.run for asked in await job.said(e.TrainingCancelRequested)] == [1]


async def test_a_retry_that_needs_deleted_images_names_them_until_they_are_there_again(job: Job) -> None:
    await job.fails(job.cause, Stage.ZIP_CREATION, HubDown())
    image_id = (await job.shown())["image_ids"][2]
    image = await job.database.pool.fetchrow("DELETE FROM images WHERE id = $1 RETURNING *", UUID(image_id))
    answer = await job.post("retry")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "image_ids.2")
    assert image_id in answer.json()["errors"][0]["message"]
    assert (await job.shown())["status"] == "failed"
    again = await job.database.pool.fetchval(
        "INSERT INTO images (owner, sha256, storage_key, filename, format, width, height, size_bytes, warnings)"
        " VALUES ('ada', $1, $2, 'a.jpg', 'jpeg', 800, 800, 1000, '{}') RETURNING id",
        image["sha256"],
        image["storage_key"],
    )
    retried = (await job.post("retry")).json()
    assert retried["image_ids"][2] == str(again)
    assert retried["captions"] == {retried["image_ids"][0]: "a portrait of ADATOK"}
    [retry] = await job.said(e.TrainingRetryRequested)
    assert retry.images == job.cause.images
    assert (await job.client.delete(f"/v1/images/{again}")).status_code == 409


async def test_one_idempotency_key_is_one_action(job: Job) -> None:
    await job.fails(job.cause, Stage.ZIP_CREATION, HubDown())
    key = {"Idempotency-Key": "a-click"}
    first = await job.post("retry", **key)
    again = await job.post("retry", **key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert (await job.post("cancel", **key)).status_code == 422


async def test_a_deleted_training_leaves_nothing_and_tells_the_stages_what_to_remove(job: Job) -> None:
    await job.happens(*on_hub(job))
    [model] = (await job.client.get("/v1/models")).json()["items"]
    asked = await job.client.post(f"/v1/models/{model['id']}/generations", json={"prompt": "a cat"})
    assert (await job.delete()).status_code == 204
    assert await job.rows() == NOTHING
    [deleted] = await job.said(e.TrainingDeleteRequested)
    assert (deleted.training_id, deleted.owner) == (job.cause.training_id, "ada")
    assert deleted.huggingface
    assert deleted.huggingface.repo == "ada/x"
    assert [str(generation_id) for generation_id in deleted.generation_ids] == [asked.json()["id"]]
    for path in (job.path, f"{job.path}/events", f"/v1/models/{model['id']}", asked.headers["location"]):
        assert (await job.client.get(path)).status_code == 404
    assert (await job.delete()).status_code == 404
    assert await job.said(e.TrainingCancelRequested) == []


async def test_the_repository_stays_when_it_is_wanted(job: Job) -> None:
    await job.happens(*on_hub(job))
    assert (await job.delete(keep_repository=True)).status_code == 204
    [deleted] = await job.said(e.TrainingDeleteRequested)
    assert deleted.huggingface is None


async def test_deleting_a_failed_training_also_ends_its_run_for_replays(job: Job) -> None:
    await job.fails(job.cause, Stage.ZIP_CREATION, HubDown())
    assert (await job.delete()).status_code == 204
    [asked] = await job.said(e.TrainingCancelRequested)
    assert (asked.run, asked.reason) == (0, "deleted")


async def test_nothing_of_a_deleted_training_comes_back(job: Job) -> None:
    await job.happens(*job_after(job.cause))
    await job.delete()
    said = [*await job.said(e.TrainingDeleteRequested), *await job.said(e.TrainingCancelRequested)]
    await job.happens(progressed(job.cause, 99), *on_hub(job), canceled(job.cause), *said)
    assert await job.rows() == NOTHING
    assert (await job.client.get("/v1/trainings")).json()["items"] == []
    assert (await job.client.get("/v1/models")).json()["items"] == []


@pytest.mark.parametrize("end", ["canceled", "failed", "completed"])
async def test_deleting_a_running_training_hides_it_stops_it_and_removes_it_at_its_end(job: Job, end: str) -> None:
    await job.happens(*up_to(job, e.ZipCreated))
    assert (await job.delete(keep_repository=True)).status_code == 202
    [asked] = await job.said(e.TrainingCancelRequested)
    assert (asked.run, asked.reason) == (0, "deleted")
    for path in (job.path, f"{job.path}/events", f"{job.path}/debug"):
        assert (await job.client.get(path)).status_code == 404
    assert (await job.client.get("/v1/trainings")).json()["items"] == []
    for action in ("cancel", "retry"):
        assert (await job.post(action)).status_code == 404
    assert (await job.delete()).status_code == 202
    image_id = await job.database.pool.fetchval("SELECT id FROM images LIMIT 1")
    assert (await job.client.delete(f"/v1/images/{image_id}")).status_code == 409
    assert await job.said(e.TrainingDeleteRequested) == []
    if end == "failed":
        await job.fails(asked, Stage.REPLICATE_TRAINING, HubDown())
    else:
        await job.happens(*([asked, canceled(asked)] if end == "canceled" else on_hub(job)))
    assert await job.rows() == NOTHING
    [deleted] = await job.said(e.TrainingDeleteRequested)
    assert deleted.huggingface is None
    await job.happens(canceled(asked, Stage.REPLICATE_TRAINING), *job_after(job.cause))
    assert await job.rows() == NOTHING
    assert (await job.delete()).status_code == 404
    assert len(await job.said(e.TrainingDeleteRequested)) == 1
    assert (await job.client.delete(f"/v1/images/{image_id}")).status_code == 204


async def test_many_clicks_on_delete_are_one_deletion(job: Job) -> None:
    await job.happens(*job_after(job.cause))
    answers = await asyncio.gather(*(job.delete() for _ in range(CLICKS)))
    assert sorted(answer.status_code for answer in answers) == [204] + [404] * (CLICKS - 1)
    assert len(await job.said(e.TrainingDeleteRequested)) == 1


async def test_a_deletion_and_late_events_at_once_leave_nothing(job: Job) -> None:
    await job.happens(canceled(job.cause))
    late = [job.happens(event) for event in job_after(job.cause)]
    answers = await asyncio.gather(*late[:4], job.delete(), *late[4:])
    assert answers[4].status_code == 204
    assert await job.rows() == NOTHING


async def test_a_generation_that_is_asked_for_while_its_model_is_deleted_is_refused_or_deleted(job: Job) -> None:
    await job.happens(*job_after(job.cause))
    [model] = (await job.client.get("/v1/models")).json()["items"]
    path = f"/v1/models/{model['id']}/generations"
    asks = [job.client.post(path, json={"prompt": "a cat"}) for _ in range(CLICKS)]
    *answers, deleted = await asyncio.gather(*asks[:10], *asks[10:], job.delete())
    assert deleted.status_code == 204
    assert {answer.status_code for answer in answers} <= {202, 404}
    [event] = await job.said(e.TrainingDeleteRequested)
    made = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert made == {str(generation_id) for generation_id in event.generation_ids}
    assert await job.rows() == NOTHING


async def test_somebody_elses_training_is_neither_canceled_retried_nor_deleted(job: Job, client_of: ClientOf) -> None:
    async with client_of("eve") as eve:
        for path in (job.path, f"/v1/trainings/{uuid4()}"):
            for method, call in (("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
                assert (await eve.request(method, path + call)).status_code == 404
    assert (await job.shown())["status"] == "requested"
    assert len(await job.said(e.TrainingRequested)) == 1
    assert await job.said(e.TrainingCancelRequested) == []


async def test_without_a_key_nothing_is_done(job: Job, anonymous: httpx.AsyncClient) -> None:
    for method, call in (("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")):
        assert (await anonymous.request(method, job.path + call)).status_code == 401
    assert (await job.shown())["status"] == "requested"


async def test_the_actions_are_described(anonymous: httpx.AsyncClient) -> None:
    paths = (await anonymous.get("/openapi.json")).json()["paths"]
    path = "/v1/trainings/{training_id}"
    operations = [paths[f"{path}/cancel"]["post"], paths[f"{path}/retry"]["post"], paths[path]["delete"]]
    names = [operation["operationId"] for operation in operations]
    assert names == ["cancel_training", "retry_training", "delete_training"]
    assert all(operation["tags"] == ["trainings"] for operation in operations)
    assert PROBLEM_JSON in operations[1]["responses"]["409"]["content"]
    assert {"202", "204"} <= set(operations[2]["responses"])


async def test_what_the_watchdog_has_seen_is_shown_until_there_is_news(job: Job) -> None:
    await job.happens(*up_to(job, e.ZipProgressed))
    reason = "service down: no zipper is taking work"
    await job.database.pool.execute("UPDATE trainings SET waiting_reason = $1", reason)
    assert (await job.shown())["waiting_reason"] == reason
    await Projection(job.database).handle([received(1, job.cause)])
    assert (await job.shown())["waiting_reason"] == reason
    await job.happens(progressed(job.cause, 60))
    assert (await job.shown())["waiting_reason"] is None
