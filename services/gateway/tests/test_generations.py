"""Generations over HTTP: asked for, followed, shown with links that expire."""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import botocore.auth
import httpx
import pytest

from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.events import GenerationFailed, GenerationRequested, GenerationSucceeded, TrainingRequested
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import read_event
from fluxline.runtime.stages import StageAttempt
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline.storage.s3 import S3Storage
from fluxline_gateway.api import make_app
from fluxline_gateway.app import routers
from fluxline_gateway.deps import Gateway
from fluxline_gateway.identity import keys
from fluxline_gateway.images import links
from fluxline_gateway.images.links import end_of_link
from fluxline_gateway.trainings.projection import Projection

from .bearers import bearer_of
from .jobs import ClientOf, job_after, order_of, received


async def new_generation(client: httpx.AsyncClient, database: Database) -> GenerationRequested:
    answer = await client.post("/v1/generations", json={"prompt": "a cat"})
    assert answer.status_code == 202
    row = await database.pool.fetchrow("SELECT subject, body FROM outbox ORDER BY id DESC LIMIT 1")
    event = read_event(row["subject"], row["body"])
    assert isinstance(event, GenerationRequested)
    assert answer.headers["location"] == f"/v1/generations/{event.generation_id}"
    return event


def succeeded(cause: GenerationRequested) -> GenerationSucceeded:
    key = f"generations/{cause.generation_id}/0.webp"
    facts = {"image_keys": (key,), "prompt_used": "a cat", "provider": "replicate", "external_id": "p1"}
    return GenerationSucceeded.caused_by(cause, generation_id=cause.generation_id, **facts)


async def test_a_generation_runs_and_ends_with_links_to_its_images(
    client: httpx.AsyncClient, database: Database
) -> None:
    cause = await new_generation(client, database)
    path = f"/v1/generations/{cause.generation_id}"
    attempt = StageAttempt(Stage.IMAGE_GENERATION, "generator", cause, 1)
    await Projection(database).handle([received(1, cause), received(2, attempt.started())])
    assert (await client.get(path)).json()["status"] == "running"
    await Projection(database).handle([received(3, succeeded(cause)), received(4, attempt.succeeded())])
    shown = (await client.get(path)).json()
    assert (shown["status"], shown["prompt_used"], shown["error"]) == ("succeeded", "a cat", None)
    [image] = shown["images"]
    assert f"generations/{cause.generation_id}/0.webp" in image["url"]
    assert "signature=" in image["url"]


async def test_an_image_is_given_to_its_owner_whole_in_part_and_once(
    client: httpx.AsyncClient, client_of: ClientOf, database: Database, gateway: Gateway
) -> None:
    cause = await new_generation(client, database)
    path = f"/v1/generations/{cause.generation_id}/images"
    assert (await client.get(f"{path}/0")).status_code == 404
    await Projection(database).handle([received(1, succeeded(cause))])
    assert (await client.get(f"{path}/0")).status_code == 404  # not stored any more
    await gateway.storage.put(f"generations/{cause.generation_id}/0.webp", b"a picture", content_type="image/webp")
    whole = await client.get(f"{path}/0")
    assert (whole.content, whole.headers["content-type"]) == (b"a picture", "image/webp")
    assert whole.headers["cache-control"].startswith("private")
    known = {"If-None-Match": whole.headers["etag"]}
    assert (await client.get(f"{path}/0", headers=known)).status_code == 304
    part = await client.get(f"{path}/0", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"pic")
    assert [(await client.get(f"{path}/{index}")).status_code for index in (1, 100, -1)] == [404, 422, 422]
    async with client_of("eve") as eve:
        assert (await eve.get(f"{path}/0")).status_code == 404


async def test_a_late_start_does_not_reopen_an_ended_generation(client: httpx.AsyncClient, database: Database) -> None:
    cause = await new_generation(client, database)
    started = StageAttempt(Stage.IMAGE_GENERATION, "generator", cause, 2).started()
    await Projection(database).handle([received(3, succeeded(cause))])
    await Projection(database).handle([received(4, started), received(2, started)])
    assert (await client.get(f"/v1/generations/{cause.generation_id}")).json()["status"] == "succeeded"


async def test_a_failed_generation_says_why_and_what_to_do(client: httpx.AsyncClient, database: Database) -> None:
    cause = await new_generation(client, database)
    facts = {"category": ErrorCategory.CONTENT_POLICY, "retryable": False, "attempts": 1}
    failed = GenerationFailed.caused_by(
        cause, generation_id=cause.generation_id, message="Refused.", hint="Change the prompt.", **facts
    )
    await Projection(database).handle([received(1, failed)])
    shown = (await client.get(f"/v1/generations/{cause.generation_id}")).json()
    assert shown["status"] == "failed"
    assert (shown["error"]["category"], shown["error"]["hint"]) == ("content_policy", "Change the prompt.")
    assert shown["images"] == []


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x" * 2001}, "prompt"),
        ({"num_outputs": 5}, "num_outputs"),
        ({"aspect_ratio": "7:1"}, "aspect_ratio"),
        ({"output_format": "gif"}, "output_format"),
        ({"image_url": "http://169.254.169.254/"}, "image_url"),
    ],
)
async def test_what_cannot_be_generated_is_refused_by_field(
    client: httpx.AsyncClient, database: Database, facts: dict[str, object], field: str
) -> None:
    answer = await client.post("/v1/generations", json={"prompt": "a cat"} | facts)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert await database.pool.fetchval("SELECT count(*) FROM generations") == 0


async def test_the_list_is_newest_first_filtered_and_paged(client: httpx.AsyncClient, database: Database) -> None:
    causes = [await new_generation(client, database) for _ in range(3)]
    await Projection(database).handle([received(1, succeeded(causes[1]))])
    first = await client.get("/v1/generations", params={"limit": 2})
    assert 'rel="next"' in first.headers["link"]
    rest = (await client.get("/v1/generations", params={"limit": 2, "cursor": first.json()["next_cursor"]})).json()
    items = first.json()["items"] + rest["items"]
    assert [item["id"] for item in items] == [str(cause.generation_id) for cause in causes[::-1]]
    assert rest["next_cursor"] is None
    [done] = (await client.get("/v1/generations", params={"status": "succeeded"})).json()["items"]
    assert done == (await client.get(f"/v1/generations/{causes[1].generation_id}")).json()
    assert len(done["images"]) == 1
    assert (await client.get("/v1/generations", params={"status": "unheard"})).status_code == 422


async def test_the_generations_of_one_model_can_be_listed(client: httpx.AsyncClient, database: Database) -> None:
    await client.post("/v1/trainings", json=await order_of(database))
    row = await database.pool.fetchrow("SELECT subject, body FROM outbox")
    training = read_event(row["subject"], row["body"])
    assert isinstance(training, TrainingRequested)
    await Projection(database).handle([received(n, event) for n, event in enumerate(job_after(training), start=1)])
    [model] = (await client.get("/v1/models")).json()["items"]
    of_model = (await client.post(f"/v1/models/{model['id']}/generations", json={"prompt": "a cat"})).json()
    await client.post("/v1/generations", json={"prompt": "a dog"})
    listed = (await client.get("/v1/generations", params={"model_id": model["id"]})).json()["items"]
    assert [(item["id"], item["model_id"]) for item in listed] == [(of_model["id"], model["id"])]
    assert (await client.get("/v1/generations", params={"model_id": str(uuid4())})).json()["items"] == []


async def test_links_stay_the_same_for_a_while_and_work_for_an_hour_at_least(
    client: httpx.AsyncClient, database: Database
) -> None:
    for now in (0.0, 1.5, 899.9, 900.0, 901.0, 1_795_600_000.7):
        assert 3600 <= end_of_link(now) - now <= 3600 + 900
        assert end_of_link(now) % 900 == 0
    cause = await new_generation(client, database)
    await Projection(database).handle([received(1, succeeded(cause))])
    path = f"/v1/generations/{cause.generation_id}"
    answers = [(await client.get(path)).json()["images"] for _ in range(2)]
    ends = {int(parse_qs(urlsplit(image["url"]).query)["expires"][0]) for [image] in answers}
    assert all(end % 900 == 0 for end in ends)
    assert (answers[0] == answers[1]) is (len(ends) == 1)


async def test_replicas_answer_with_the_same_links_so_that_a_clients_copy_is_good_at_each_of_them(
    gateway: Gateway, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    signing_now = datetime(2026, 11, 25, 10)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: signing_now + timedelta(seconds=next(seconds)))
    monkeypatch.setattr(links.time, "time", lambda: 1_795_600_000.0)
    bucket = {"endpoint": "http://127.0.0.1:1", "bucket": "photos", "access_key_id": "a", "secret_access_key": "b"}
    key, _ = await keys.create(database.pool, "ada")
    answers: list[httpx.Response] = []
    for _ in range(2):
        storage = S3Storage(**bucket)
        provider = make_tracer_provider("gateway", None)
        app = make_app(replace(gateway, storage=storage), routers(storage), probes={}, tracer_provider=provider)
        async with bearer_of(app, key) as client:
            if not answers:
                cause = await new_generation(client, database)
                await Projection(database).handle([received(1, succeeded(cause))])
            path, known = f"/v1/generations/{cause.generation_id}", [answer.headers["etag"] for answer in answers]
            answers.append(await client.get(path, headers=[("If-None-Match", tag) for tag in known]))
        await storage.close()
    assert "X-Amz-Signature" in answers[0].json()["images"][0]["url"]
    assert [answer.status_code for answer in answers] == [200, 304]


async def test_nobody_elses_generation_exists(
    client: httpx.AsyncClient, client_of: ClientOf, database: Database
) -> None:
    cause = await new_generation(client, database)
    async with client_of("eve") as eve:
        assert (await eve.get(f"/v1/generations/{cause.generation_id}")).status_code == 404
        assert (await eve.get("/v1/generations")).json()["items"] == []
