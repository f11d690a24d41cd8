"""Trainings over HTTP, on a real PostgreSQL: what is asked for, what is refused, what is shown."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from fluxline.contracts.event import Event
from fluxline.contracts.events import ModelPublished, TrainingRequested, ZipProgressed
from fluxline.contracts.ids import model_id_of
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import Received, body_of, headers_of, read_event
from fluxline_gateway.deps import Gateway
from fluxline_gateway.trainings.projection import Projection
from streams import requested

_IMAGE = """
INSERT INTO images (owner, sha256, storage_key, filename, format, width, height, size_bytes, warnings)
VALUES ($1, $2, $3, 'a.jpg', 'jpeg', 800, 800, 1000, '{}') RETURNING id
"""


async def images_of(database: Database, owner: str, count: int = 5) -> list[str]:
    ids = []
    for _ in range(count):
        sha256 = uuid4().hex * 2
        image_id = await database.pool.fetchval(_IMAGE, owner, sha256, f"uploads/{owner}/{sha256}.jpg")
        ids.append(str(image_id))
    return ids


def order(image_ids: list[str], **facts: Any) -> dict[str, Any]:
    publish = {"enabled": True, "accept_license": True}
    return {"name": "Ada", "trigger_word": "ADATOK", "image_ids": image_ids, "publish": publish} | facts


async def outbox_of(database: Database) -> list[Event]:
    rows = await database.pool.fetch("SELECT subject, body FROM outbox ORDER BY id")
    return [read_event(row["subject"], bytes(row["body"])) for row in rows]


@pytest.fixture
async def ada(client_of: Any) -> Any:
    async with client_of("ada") as client:
        yield client


async def test_a_training_is_accepted_and_its_event_waits_in_the_outbox(
    ada: httpx.AsyncClient, database: Database
) -> None:
    ids = await images_of(database, "ada")
    captions = {ids[0]: "a portrait of ADATOK"}
    answer = await ada.post("/v1/trainings", json=order(ids, captions=captions, metadata={"order": "7"}))
    assert answer.status_code == 202, answer.text
    training = answer.json()
    assert answer.headers["location"] == f"/v1/trainings/{training['id']}"
    assert (training["status"], training["progress"], training["metadata"]) == ("requested", 0, {"order": "7"})
    assert [stage["status"] for stage in training["stages"]] == ["pending"] * 4
    (event,) = await outbox_of(database)
    assert isinstance(event, TrainingRequested)
    assert (event.owner, event.images[0].caption, len(event.images)) == ("ada", "a portrait of ADATOK", 5)


async def test_an_image_has_its_own_caption_where_the_order_names_none(
    ada: httpx.AsyncClient, database: Database
) -> None:
    ids = await images_of(database, "ada")
    await database.pool.execute(
        "UPDATE images SET caption = 'by a window' WHERE id = ANY($1)", [UUID(i) for i in ids[:3]]
    )
    captions = {ids[0]: "on the moon", ids[1]: ""}
    training = (await ada.post("/v1/trainings", json=order(ids, captions=captions))).json()
    (event,) = await outbox_of(database)
    assert isinstance(event, TrainingRequested)
    assert [image.caption for image in event.images] == ["on the moon", None, "by a window", None, None]
    assert training["captions"] == {ids[0]: "on the moon", ids[2]: "by a window"}
    assert (await ada.get(f"/v1/trainings/{training['id']}")).json()["captions"] == training["captions"]
    await database.pool.execute("UPDATE images SET caption = 'changed later'")
    assert (await ada.get(f"/v1/trainings/{training['id']}")).json()["captions"] == training["captions"]


async def test_publishing_without_the_licence_is_refused_before_anything_is_trained(
    ada: httpx.AsyncClient, database: Database
) -> None:
    ids = await images_of(database, "ada")
    answer = await ada.post("/v1/trainings", json=order(ids, publish={"enabled": True, "accept_license": False}))
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["field"], "non-commercial" in error["message"]) == ("publish.accept_license", True)
    assert await outbox_of(database) == []


@pytest.mark.parametrize("count", [0, 4, 21])
async def test_too_few_or_too_many_images_are_a_problem(ada: httpx.AsyncClient, database: Database, count: int) -> None:
    answer = await ada.post("/v1/trainings", json=order(await images_of(database, "ada", count)))
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["errors"][0]["field"] == "image_ids"


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"name": "x" * 200}, "name"),
        ({"name": ""}, "name"),
        ({"trigger_word": " TOK"}, "trigger_word"),
        ({"steps": 99}, "steps"),
        ({"learning_rate": 1}, "learning_rate"),
        ({"lora_rank": 129}, "lora_rank"),
        ({"resolution": "640"}, "resolution"),
        ({"image_urls": ["http://169.254.169.254/"]}, "image_urls"),
        ({"publish": {"enabled": True}}, "publish"),
    ],
)
async def test_a_value_out_of_bounds_is_a_problem_that_names_its_field(
    ada: httpx.AsyncClient, database: Database, facts: dict[str, Any], field: str
) -> None:
    answer = await ada.post("/v1/trainings", json=order(await images_of(database, "ada"), **facts))
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["category"] == "validation"
    assert problem["hint"]
    assert field in problem["errors"][0]["field"]


async def test_a_missing_field_is_named(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/v1/trainings", json={"name": "Ada"})
    assert {error["field"] for error in answer.json()["errors"]} == {"trigger_word", "image_ids"}


async def test_somebody_elses_image_looks_like_none_at_all(ada: httpx.AsyncClient, database: Database) -> None:
    mine, (theirs,) = await images_of(database, "ada", 4), await images_of(database, "bob", 1)
    refused = [await ada.post("/v1/trainings", json=order([*mine, other])) for other in (theirs, str(uuid4()))]
    assert [answer.status_code for answer in refused] == [422, 422]
    messages = [answer.json()["errors"][0]["message"].split(" ", 1)[1] for answer in refused]
    assert messages[0] == messages[1]


async def test_fifty_clicks_with_one_key_are_one_training(ada: httpx.AsyncClient, database: Database) -> None:
    body = order(await images_of(database, "ada"))
    headers = {"Idempotency-Key": "a-click"}
    answers = await asyncio.gather(*(ada.post("/v1/trainings", json=body, headers=headers) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await outbox_of(database)) == 1


async def test_one_key_for_two_different_requests_is_refused(ada: httpx.AsyncClient, database: Database) -> None:
    ids = await images_of(database, "ada")
    headers = {"Idempotency-Key": "k"}
    first = await ada.post("/v1/trainings", json=order(ids), headers=headers)
    second = await ada.post("/v1/trainings", json=order(ids, name="Eve"), headers=headers)
    assert (first.status_code, second.status_code) == (202, 422)


async def test_another_owners_training_does_not_exist(
    ada: httpx.AsyncClient, client_of: Any, database: Database
) -> None:
    training = (await ada.post("/v1/trainings", json=order(await images_of(database, "ada")))).json()
    async with client_of("eve") as eve:
        for path in ("", "/events", "/debug", "/debug/export"):
            assert (await eve.get(f"/v1/trainings/{training['id']}{path}")).status_code == 404
        assert (await eve.get("/v1/trainings")).json()["items"] == []


async def test_the_list_is_newest_first_filtered_and_paged(ada: httpx.AsyncClient, database: Database) -> None:
    ids = await images_of(database, "ada")
    for name in ("one", "two", "three"):
        await ada.post("/v1/trainings", json=order(ids, name=name))
    first = (await ada.get("/v1/trainings", params={"limit": 2})).json()
    rest = (await ada.get("/v1/trainings", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [t["name"] for t in first["items"] + rest["items"]] == ["three", "two", "one"]
    assert rest["next_cursor"] is None
    found = (await ada.get("/v1/trainings", params={"q": "TW", "status": "requested"})).json()
    assert [t["name"] for t in found["items"]] == ["two"]


def received(sequence: int, event: Event) -> Received:
    return Received(event.subject, body_of(event), headers_of(event, "test"), sequence, 1, datetime.now(UTC))


async def test_events_move_the_training_and_make_its_history(
    ada: httpx.AsyncClient, database: Database, gateway: Gateway
) -> None:
    training = (await ada.post("/v1/trainings", json=order(await images_of(database, "ada")))).json()
    (cause,) = await outbox_of(database)
    assert isinstance(cause, TrainingRequested)
    progressed = ZipProgressed.caused_by(cause, done=1, total=5, current="image_001.jpg", size_bytes=10)
    batch = [received(1, cause), received(2, progressed), received(2, progressed)]
    batch.append(Received("zip.created", b"{", {}, 3, 1, datetime.now(UTC)))
    await Projection(database).handle(batch)
    await Projection(database).handle(batch)
    path = f"/v1/trainings/{training['id']}"
    shown = await ada.get(path)
    assert (shown.json()["status"], shown.json()["progress"]) == ("zipping", 3.0)
    assert (await ada.get(path, headers={"If-None-Match": shown.headers["etag"]})).status_code == 304
    history = (await ada.get(f"{path}/events", headers={"Accept": "application/json"})).json()
    assert [(item["id"], item["type"]) for item in history["items"]] == [
        (1, "training.requested"),
        (2, "zip.progressed"),
    ]
    assert history["items"][1]["data"]["done"] == 1


async def test_a_published_model_can_be_listed_downloaded_and_generated_with(
    ada: httpx.AsyncClient, database: Database, gateway: Gateway, tmp_path: Any
) -> None:
    training = (await ada.post("/v1/trainings", json=order(await images_of(database, "ada")))).json()
    cause = requested(UUID(training["id"]))
    model_id = model_id_of(UUID(training["id"]))
    weights = {"weights_key": "models/x/lora.safetensors", "sha256": "0" * 64, "size_bytes": 7}
    published = ModelPublished.caused_by(
        cause, **cause.job_facts(), **weights, model_id=model_id, provider="replicate", provider_version="ada/x:1"
    )
    await Projection(database).handle([received(1, published)])
    (model,) = (await ada.get("/v1/models")).json()["items"]
    assert (model["id"], model["trigger_word"], model["huggingface"]) == (str(model_id), "ADATOK", None)
    link = await ada.get(f"/v1/models/{model_id}/weights")
    assert link.status_code == 307
    assert "signature=" in link.headers["location"]
    answer = await ada.post(f"/v1/models/{model_id}/generations", json={"prompt": "on the moon", "seed": 7})
    assert answer.status_code == 202
    generation = await ada.get(answer.headers["location"])
    assert generation.json()["status"] == "requested"
    event = (await outbox_of(database))[-1]
    assert event.model_dump()["provider_version"] == "ada/x:1"
    refused = await ada.post("/v1/generations", json={"prompt": "x", "aspect_ratio": "7:1"})
    assert refused.status_code == 422
