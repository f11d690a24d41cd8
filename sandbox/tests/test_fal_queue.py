"""fal's queue as its documentation describes it, against the sandbox."""

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from .stand import Site, Stand, until

SAFETENSORS = b"".join([(2).to_bytes(8, "little"), b"{}"])


@pytest.fixture
def queue(stand: Stand) -> Iterator[httpx.Client]:
    stand.configure(generation_seconds=0)
    key = stand.settings.fal_key.get_secret_value()
    with httpx.Client(base_url=f"{stand.url}/fal", headers={"Authorization": f"Key {key}"}) as client:
        yield client


def submit(queue: httpx.Client, model: str = "fal-ai/flux-lora", **given: Any) -> dict[str, Any]:
    answer = queue.post(f"/{model}", json={"prompt": "a cat", "image_size": {"width": 320, "height": 256}, **given})
    return dict(answer.raise_for_status().json())


def status(queue: httpx.Client, request: dict[str, Any]) -> str:
    return str(queue.get(request["status_url"]).json()["status"])


def test_a_request_waits_runs_and_ends_with_pictures(queue: httpx.Client, stand: Stand) -> None:
    stand.configure(generation_seconds=0.3)
    request = submit(queue, num_images=2, seed=7, output_format="png")
    assert status(queue, request) == "IN_QUEUE"
    assert queue.get(request["response_url"]).status_code == 400
    until(lambda: status(queue, request), lambda state: state == "COMPLETED")
    result = queue.get(request["response_url"]).json()
    assert (result["seed"], result["has_nsfw_concepts"]) == (7, [False, False])
    picture = Image.open(io.BytesIO(httpx.get(result["images"][0]["url"]).content))
    assert (picture.format, picture.size) == ("PNG", (320, 256))
    assert queue.get(request["response_url"]).json() == result
    assert stand.state()["generations"] == 1


def test_a_request_is_found_below_the_first_two_parts_of_its_model(queue: httpx.Client) -> None:
    request = submit(queue, "fal-ai/flux/dev")
    assert f"/fal/fal-ai/flux/requests/{request['request_id']}" in request["response_url"]
    assert queue.get(request["response_url"]).status_code == 200


def test_a_lora_is_fetched_and_read(queue: httpx.Client, site: Site) -> None:
    good = submit(queue, loras=[{"path": site.put("/lora.safetensors", SAFETENSORS), "scale": 0.8}])
    assert queue.get(good["response_url"]).status_code == 200
    for path in (site.put("/not.safetensors", b"<html>not weights</html>"), site.url + "/missing"):
        refused = queue.get(submit(queue, loras=[{"path": path}])["response_url"])
        assert (refused.status_code, refused.json()["detail"][0]["type"]) == (422, "file_download_error")


def test_wrong_input_is_told_by_the_result(queue: httpx.Client) -> None:
    refused = queue.get(submit(queue, num_images=9)["response_url"])
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "num_images"]


def test_refused_content_has_a_type_of_its_own(queue: httpx.Client) -> None:
    refused = queue.get(submit(queue, prompt="NSFW-test")["response_url"])
    assert (refused.status_code, refused.json()["detail"][0]["type"]) == (422, "content_policy_violation")


def test_a_request_is_canceled_once_and_not_after_its_end(queue: httpx.Client, stand: Stand) -> None:
    stand.configure(generation_seconds=60)
    request = submit(queue)
    assert queue.put(request["cancel_url"]).json() == {"status": "CANCELLATION_REQUESTED"}
    again = queue.put(request["cancel_url"])
    assert (again.status_code, again.json()["status"]) == (400, "ALREADY_COMPLETED")
    assert queue.get(request["response_url"]).status_code == 400
    assert stand.state()["cancels"] == 1


def test_who_is_unknown_or_asks_for_what_is_unknown_is_refused(queue: httpx.Client, stand: Stand) -> None:
    anonymous = httpx.post(f"{stand.url}/fal/fal-ai/flux-lora", json={})
    assert (anonymous.status_code, list(anonymous.json())) == (401, ["detail"])
    assert queue.post("/fal-ai/nothing", json={}).status_code == 404
    assert queue.get("/fal-ai/flux-lora/requests/unknown/status").status_code == 404
    assert queue.post("/fal-ai/flux-lora", content=json.dumps([1])).status_code == 422


def test_a_request_survives_in_the_store_and_its_faults_have_names(queue: httpx.Client, stand: Stand) -> None:
    stand.fault("requests.submit", "status", provider="fal", code=503)
    assert queue.post("/fal-ai/flux-lora", json={"prompt": "a cat"}).status_code == 503
    assert stand.log()[-1]["operation"] == "requests.submit"
    assert stand.state()["generations"] == 0
