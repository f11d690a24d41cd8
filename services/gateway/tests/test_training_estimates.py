"""Estimates over HTTP on a real PostgreSQL: of half-filled forms, from what has completed here, kept with trainings."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fluxline.contracts.events import TrainingRequested, TrainingSucceeded
from fluxline.contracts.job import Cost
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import read_event
from fluxline_gateway.deps import Gateway
from fluxline_gateway.trainings.projection import Projection
from fluxline_gateway.trainings.track_record import TrackRecord

from .jobs import ClientOf, job_after, order_of, received

PATH = "/v1/trainings/estimate"
TRAINING_S = 400.0
COST = Cost(amount_usd=0.8, basis="524.6 s of predict time")


async def estimated(client: httpx.AsyncClient, **form: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json=form)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def completed(client: httpx.AsyncClient, database: Database, **facts: Any) -> TrainingRequested:
    """A training whose provider took `TRAINING_S`."""
    assert (await client.post("/v1/trainings", json=await order_of(database, **facts))).status_code == 202
    row = await database.pool.fetchrow("SELECT subject, body FROM outbox ORDER BY id DESC LIMIT 1")
    cause = read_event(row["subject"], row["body"])
    assert isinstance(cause, TrainingRequested)
    batch, at = [], cause.occurred_at
    for number, event in enumerate([cause, *job_after(cause)], start=1):
        if isinstance(event, TrainingSucceeded):
            at += timedelta(seconds=TRAINING_S)
            event = event.model_copy(update={"cost": COST})
        batch.append(received(number, event.model_copy(update={"occurred_at": at})))
    await Projection(database).handle(batch)
    return cause


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"image_count": 12},
        {"name": "", "trigger_word": "", "image_ids": [], "webhook_url": "", "captions": {}},
        {"steps": None, "learning_rate": None, "lora_rank": None, "resolution": None, "publish": None},
        {"publish": {}},
        {"publish": {"repo_name": "", "private": False}},
    ],
)
async def test_a_half_filled_form_is_estimated(client: httpx.AsyncClient, form: dict[str, Any]) -> None:
    found = await estimated(client, **form)
    cost, duration = found["cost_usd"], found["duration_s"]
    assert 1 < cost["low"] < cost["likely"] < cost["high"] < 2
    assert 900 < duration["low"] < duration["likely"] < duration["high"]
    assert [stage["stage"] for stage in found["stages"]] == ["zip_creation", "replicate_training", "huggingface_upload"]
    assert (found["based_on"], found["spend"]["cap_usd"]) == (0, None)
    assert found["assumptions"]


async def test_an_order_as_it_will_be_sent_can_be_estimated_and_costs_nothing(
    client: httpx.AsyncClient, database: Database
) -> None:
    order = await order_of(database, metadata={"order": "7"}, webhook_url="https://example.com/hook", steps=2000)
    found = await estimated(client, **order)
    assert found["warnings"] == []
    made = (await client.post("/v1/trainings", json=order)).json()
    assert {name: found[name] for name in ("cost_usd", "duration_s", "assumptions")} == made["estimate"]
    expected = {stage["stage"]: stage["duration_s"] for stage in found["stages"]} | {"completion": None}
    assert {stage["stage"]: stage["estimate_s"] for stage in made["stages"]} == expected
    assert (await client.get(f"/v1/trainings/{made['id']}")).json()["estimate"] == made["estimate"]
    assert await database.pool.fetchval("SELECT count(*) FROM trainings") == 1


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"steps": 99}, "steps"),
        ({"steps": True}, "steps"),
        ({"image_count": 21}, "image_count"),
        ({"resolution": "640"}, "resolution"),
        ({"learning_rate": "1e-4"}, "learning_rate"),
        ({"base_model": "x"}, "base_model"),
        ({"publish": {"enabled": "yes"}}, "publish.enabled"),
        ({"image_urls": []}, "image_urls"),
    ],
)
async def test_what_does_not_fit_is_refused_by_field(
    client: httpx.AsyncClient, form: dict[str, Any], field: str
) -> None:
    answer = await client.post(PATH, json=form)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_images_that_are_not_the_owners_are_refused_as_in_an_order(
    client: httpx.AsyncClient, client_of: ClientOf, database: Database
) -> None:
    ids = (await order_of(database, "ada"))["image_ids"]
    async with client_of("eve") as eve:
        for image_ids in (ids[:1], [str(uuid4())]):
            answer = await eve.post(PATH, json={"image_ids": image_ids})
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "image_ids.0")
    repeated = await client.post(PATH, json={"image_ids": ids[:1] * 2})
    assert (repeated.status_code, repeated.json()["errors"][0]["field"]) == (422, "image_ids")


async def test_what_stands_in_the_way_is_told_and_not_refused(client: httpx.AsyncClient, database: Database) -> None:
    assert (await client.post("/v1/trainings", json=await order_of(database))).status_code == 202
    await database.pool.execute("INSERT INTO owners (owner, spend_cap_usd, max_running) VALUES ('ada', 2.0, 1)")
    order = await order_of(database)
    found = await estimated(client, image_ids=order["image_ids"][:3], publish={"enabled": True})
    few, licence, cap, place = found["warnings"]
    assert few == "A training needs 5 images, and 3 are chosen."
    assert "accept_license" in licence
    assert "would exceed the spend cap" in cap
    assert "$2.00" in cap
    assert "1 trainings run already" in place
    assert found["spend"]["remaining_usd"] == pytest.approx(0.3987)
    assert (await client.post("/v1/trainings", json=order)).status_code == 402


async def test_completed_trainings_of_the_installation_make_estimates_better(
    client: httpx.AsyncClient, client_of: ClientOf, database: Database, gateway: Gateway
) -> None:
    gateway.track_record.keep_s = 0.0
    for _ in range(2):
        await completed(client, database)
    assert (await estimated(client))["based_on"] == 2
    await completed(client, database)
    async with client_of("bob") as bob:
        found = await estimated(bob)
    assert found["based_on"] == 3
    training = next(stage for stage in found["stages"] if stage["stage"] == "replicate_training")
    assert training["duration_s"]["likely"] == pytest.approx(TRAINING_S, rel=0.01)
    assert found["cost_usd"]["likely"] == pytest.approx(COST.amount_usd, rel=0.01)
    assert "The newest 3 trainings here" in found["assumptions"][-1]
    made = (await client.post("/v1/trainings", json=await order_of(database))).json()
    assert made["estimate"]["cost_usd"]["likely"] == found["cost_usd"]["likely"]


async def test_trainings_that_were_tried_again_or_did_not_complete_teach_nothing(
    client: httpx.AsyncClient, database: Database
) -> None:
    for _ in range(2):
        await completed(client, database)
    await client.post("/v1/trainings", json=await order_of(database))
    assert (await TrackRecord().lessons(database.pool, 1.0)).count == 2
    await database.pool.execute(
        "UPDATE trainings SET state = replace(state::text, '\"attempts\":1', '\"attempts\":2')::json"
        " WHERE id = (SELECT id FROM trainings WHERE status = 'completed' LIMIT 1)"
    )
    assert (await TrackRecord().lessons(database.pool, 1.0)).count == 1


async def test_the_record_is_read_once_in_a_while(client: httpx.AsyncClient, database: Database) -> None:
    now = 100.0
    record = TrackRecord(60.0, clock=lambda: now)
    assert (await record.lessons(database.pool, 1.0)).count == 0
    await completed(client, database)
    assert (await record.lessons(database.pool, 1.0)).count == 0
    now = 161.0
    assert (await record.lessons(database.pool, 1.0)).count == 1


async def test_a_deleted_training_teaches_nothing_more(client: httpx.AsyncClient, database: Database) -> None:
    cause = await completed(client, database)
    await client.delete(f"/v1/trainings/{cause.training_id}")
    assert (await TrackRecord().lessons(database.pool, 1.0)).count == 0


async def test_it_needs_a_key(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.post(PATH, json={})).status_code == 401


async def test_it_is_no_training_to_be_read_or_deleted(client: httpx.AsyncClient) -> None:
    for method in ("GET", "DELETE"):
        answer = await client.request(method, PATH)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
