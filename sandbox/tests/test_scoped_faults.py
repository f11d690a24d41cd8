"""Faults that are meant for one job among many, and answers that say something else."""

from typing import Any

import httpx
import pytest

from .stand import Site, Stand, good_zip, until

OWNER = "fluxline-sandbox"
TRAINER = "/replicate/v1/models/ostris/flux-dev-lora-trainer"


def auth(stand: Stand) -> dict[str, str]:
    return {"authorization": f"Bearer {stand.replicate_token}"}


def call(stand: Stand, method: str, path: str, **options: Any) -> httpx.Response:
    return stand.http.request(method, path, headers=auth(stand), **options)


def train(stand: Stand, site: Site, trigger_word: str) -> httpx.Response:
    """Ask for a training of its own destination."""
    name = trigger_word.lower()
    call(stand, "POST", "/replicate/v1/models", json=model(name))
    version = call(stand, "GET", TRAINER).json()["latest_version"]["id"]
    given = {"input_images": site.put("/photos.zip", good_zip()), "trigger_word": trigger_word}
    body = {"destination": f"{OWNER}/{name}", "input": given}
    return call(stand, "POST", f"{TRAINER}/versions/{version}/trainings", json=body)


def model(name: str) -> dict[str, str]:
    return {"owner": OWNER, "name": name, "visibility": "private", "hardware": "cpu"}


def finished(stand: Stand, id: str) -> dict[str, Any]:
    path = f"/replicate/v1/trainings/{id}"
    return dict(until(lambda: call(stand, "GET", path).json(), lambda job: job.get("status") == "succeeded"))


def test_a_fault_meets_only_the_call_whose_body_holds_its_text(stand: Stand, site: Site) -> None:
    stand.fault("trainings.create", "status", code=402, match="SECOND", times=None)
    statuses = [train(stand, site, word).status_code for word in ("FIRST", "SECOND", "THIRD")]
    assert statuses == [201, 402, 201]
    assert stand.state()["trainings"] == 2


def test_a_call_by_id_is_about_the_job_behind_the_id(stand: Stand, site: Site) -> None:
    first, second = (train(stand, site, word).json()["id"] for word in ("FIRST", "SECOND"))
    stand.fault("trainings.get", "status", code=404, match="SECOND")
    assert call(stand, "GET", f"/replicate/v1/trainings/{first}").status_code == 200
    assert call(stand, "GET", f"/replicate/v1/trainings/{second}").status_code == 404
    assert call(stand, "GET", f"/replicate/v1/trainings/{second}").status_code == 200


def test_a_download_is_about_the_job_whose_result_it_is(stand: Stand, site: Site) -> None:
    urls = [finished(stand, train(stand, site, word).json()["id"])["output"]["weights"] for word in ("ONE", "TWO")]
    stand.fault("weights.download", "status", code=404, match=f"{OWNER}/two", times=None)
    assert [httpx.get(url).status_code for url in urls] == [200, 404]


def test_a_picture_is_about_the_prompt_it_was_made_from(stand: Stand) -> None:
    path = "/replicate/v1/models/black-forest-labs/flux-schnell/predictions"
    for prompt in ("a red boat", "a blue boat"):
        stand.fault("result.download", "status", code=410, match="blue", times=None)
        made = call(stand, "POST", path, json={"input": {"prompt": prompt}}).json()
        seen = until(
            lambda id=made["id"]: call(stand, "GET", f"/replicate/v1/predictions/{id}").json(),
            lambda job: job["status"] == "succeeded",
        )
        assert httpx.get(seen["output"][0]).status_code == (410 if "blue" in prompt else 200)


def test_a_query_is_looked_into_as_well(stand: Stand) -> None:
    stand.fault("trainings.list", "status", code=503, match="cursor=there it is")
    assert call(stand, "GET", "/replicate/v1/trainings").status_code == 200
    assert call(stand, "GET", "/replicate/v1/trainings?cursor=there%20it%20is").status_code == 503


def test_a_request_that_was_looked_into_still_reaches_the_application_or_is_cut(stand: Stand) -> None:
    stand.fault("models.create", "drop_answer", match="cut-off")
    assert call(stand, "POST", "/replicate/v1/models", json=model("whole")).status_code == 201
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        call(stand, "POST", "/replicate/v1/models", json=model("cut-off"))
    for name in ("whole", "cut-off"):
        assert call(stand, "GET", f"/replicate/v1/models/{OWNER}/{name}").status_code == 200


def test_an_answer_can_say_something_else(stand: Stand) -> None:
    stand.fault("account", "alter", body={"username": "somebody"}, headers={"X-Said": "more"})
    answer = call(stand, "GET", "/replicate/v1/account")
    assert (answer.status_code, answer.headers["x-said"]) == (200, "more")
    assert (answer.json()["username"], answer.json()["type"]) == ("somebody", "user")


def test_an_answer_can_be_replaced_by_a_text(stand: Stand) -> None:
    stand.fault("account", "alter", body="not what you asked for")
    assert call(stand, "GET", "/replicate/v1/account").text == "not what you asked for"


def test_an_uploaded_file_is_about_its_repository(stand: Stand) -> None:
    headers = {"authorization": f"Bearer {stand.hf_token}"}
    hrefs = []
    for name in ("ours", "theirs"):
        stand.http.post("/hf/api/repos/create", json={"name": name}, headers=headers).raise_for_status()
        body = {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 1}]}
        made = stand.http.post(f"/hf/{OWNER}/{name}.git/info/lfs/objects/batch", json=body, headers=headers).json()
        hrefs.append(made["objects"][0]["actions"]["upload"]["href"])
    stand.fault("lfs.upload", "status", code=503, match=f"{OWNER}/theirs", times=None)
    assert [httpx.put(href, content=b"x").status_code for href in hrefs] == [400, 503]
