"""What is somebody else's does not exist: on every call of the OpenAPI document, by whatever name of a thing.

The calls come from the document, so a new one is tried by itself.
"""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from fluxline_gateway import examples
from fluxline_gateway.deps import Gateway

from .conftest import URL
from .documented import CALLS, JSON, Call, Sent
from .example_world import key_of, make_world

IDS = {
    "image_id": examples.IMAGE_IDS[0],
    "upload_id": examples.UPLOAD_ID,
    "training_id": examples.TRAINING_ID,
    "model_id": examples.MODEL_ID,
    "generation_id": examples.GENERATION_ID,
    "key_id": examples.KEY_ID,
    "delivery_id": examples.DELIVERY_ID,
}
"""Ada's things, by how they are named in a path."""
PARTS = {"index": 0}
"""Of one of them: which part is asked for."""
ADAS = (*examples.IMAGE_IDS, *IDS.values())
_OF_A_KEY = [call for call in CALLS if "api_key" in call.schemes]
OF_ALL = [call for call in _OF_A_KEY if call.path.startswith("/v1/admin/")]
OF_AN_OWNER = [call for call in _OF_A_KEY if call not in OF_ALL]
BY_ID = [call for call in OF_AN_OWNER if call.parameters("path")]
LISTS = [
    call
    for call in OF_AN_OWNER
    if call.method == "GET" and not call.parameters("path") and "cursor" in call.parameters("query")
]
NAMING = [
    (call, sent)
    for call in OF_AN_OWNER
    if not call.parameters("path")
    for sent in call.sent()
    if any(of_ada in json.dumps(sent.body) for of_ada in ADAS)
]
OWN = {"list_keys", "list_audit"}
"""Lists in which everybody who asks finds something of their own: the key they ask with."""


def first(call: Call) -> Sent:
    return next(call.sent())


@pytest.fixture
async def nobody(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, in front of a gateway that holds only things of Ada's."""
    await make_world(app)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client


async def bob(client: httpx.AsyncClient, gateway: Gateway, *scopes: str) -> httpx.AsyncClient:
    """The same client with a key of Bob's."""
    client.headers["Authorization"] = f"Bearer {await key_of(gateway, 'bob', *scopes)}"
    return client


def test_every_name_in_a_path_is_known_here() -> None:
    names = {name for call in OF_AN_OWNER for name in call.parameters("path")}
    assert names <= IDS.keys() | PARTS.keys(), "say which of Ada's things is tried for the new name"
    assert len(BY_ID) > 10
    assert len(LISTS) > 2
    assert NAMING


async def test_a_thing_of_anothers_is_not_found(nobody: httpx.AsyncClient, gateway: Gateway) -> None:
    client = await bob(nobody, gateway, "read", "write")
    for call in BY_ID:
        answer = await call.send(client, first(call))
        assert answer.status_code == 404, f"{call.name}: {answer.text}"
        assert answer.json()["title"].endswith("not found"), call.name


async def test_a_list_holds_nothing_of_anothers(nobody: httpx.AsyncClient, gateway: Gateway) -> None:
    client = await bob(nobody, gateway, "read", "write")
    for call in LISTS:
        answer = await call.send(client, Sent("all"))
        assert answer.status_code == 200, f"{call.name}: {answer.text}"
        assert call.name in OWN or answer.json()["items"] == []
        assert [of_ada for of_ada in ADAS if of_ada in answer.text] == [], call.name


async def test_a_request_that_names_anothers_things_is_refused(nobody: httpx.AsyncClient, gateway: Gateway) -> None:
    client = await bob(nobody, gateway, "read", "write")
    for call, sent in NAMING:
        answer = await call.send(client, sent)
        assert answer.status_code in (404, 422), f"{call.name}: {answer.text}"
        assert answer.status_code == 404 or answer.json()["errors"], call.name


async def test_administration_is_closed_to_owners(nobody: httpx.AsyncClient, gateway: Gateway) -> None:
    client = await bob(nobody, gateway, "read", "write")
    assert OF_ALL
    for call in OF_ALL:
        answer = await call.send(client, first(call))
        assert answer.status_code == 403, f"{call.name}: {answer.text}"


async def test_a_call_without_a_key_is_refused(nobody: httpx.AsyncClient) -> None:
    for call in _OF_A_KEY:
        answer = await call.send(nobody, first(call))
        assert answer.status_code == 401, f"{call.name}: {answer.text}"
        assert answer.headers["www-authenticate"].startswith("Bearer"), call.name


async def test_a_key_that_may_only_read_changes_nothing(nobody: httpx.AsyncClient, gateway: Gateway) -> None:
    nobody.headers["Authorization"] = f"Bearer {await key_of(gateway, 'ada', 'read')}"
    for call in _OF_A_KEY:
        if call.method != "GET":
            answer = await call.send(nobody, first(call))
            assert answer.status_code == 403, f"{call.name}: {answer.text}"
            assert "insufficient_scope" in answer.headers["www-authenticate"], call.name
    assert (await nobody.get(f"/v1/trainings/{examples.TRAINING_ID}")).json()["status"] == "completed"


async def test_adas_own_key_finds_what_bobs_does_not(nobody: httpx.AsyncClient, gateway: Gateway) -> None:
    """The control: the ids are right, and it is the owner that makes the difference."""
    nobody.headers["Authorization"] = f"Bearer {await key_of(gateway, 'ada', 'read', 'write')}"
    reads = [call for call in BY_ID if call.method == "GET" and JSON in call.successes.get(200, {}).get("content", {})]
    found = {call.name: (await call.send(nobody, first(call))).status_code for call in reads}
    assert {name for name, status in found.items() if status == 404} == set()
