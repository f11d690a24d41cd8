"""The OpenAPI document: valid, complete for every call, and the one that is committed and announced."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from fluxline_gateway.errors import PROBLEM_JSON

from .documented import CALLS, DOCUMENT, JSON, Call, Document, complaints, resolved

PUBLIC = {"get_limits", "receive_replicate_webhook"}
"""What needs no API key: the limits, and the provider's word, which is signed."""
_SCHEMAS = DOCUMENT["components"]["schemas"]
each_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)


def media_of(call: Call) -> Iterator[tuple[str, str, Document]]:
    """Where, which content type and what of every body of a call."""
    parts = {"request": call.operation.get("requestBody", {}), **call.operation["responses"]}
    for place, part in parts.items():
        for content_type, media in resolved(part).get("content", {}).items():
            yield place, content_type, media


def examples_in(media: Document) -> list[Any]:
    examples = [example["value"] for example in media.get("examples", {}).values()]
    return examples + ([media["example"]] if "example" in media else [])


async def test_the_document_that_is_served_is_the_one_from_the_routes(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/openapi.json")
    assert answer.json() == DOCUMENT


def test_the_document_is_valid_openapi() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert [f"{error.instance_path}: {error.message}" for error in OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)] == []


def test_every_call_has_a_name_of_its_own() -> None:
    names = [call.name for call in CALLS]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)+", name)] == []


def test_every_group_is_described_and_used() -> None:
    described = {tag["name"] for tag in DOCUMENT["tags"]}
    assert {tag for call in CALLS for tag in call.operation["tags"]} == described
    assert all(tag["description"] for tag in DOCUMENT["tags"])


def test_all_but_the_public_calls_need_an_api_key() -> None:
    assert {call.name for call in CALLS if "api_key" not in call.schemes} == PUBLIC


@each_call
def test_a_call_says_what_it_does_and_takes(call: Call) -> None:
    operation = call.operation
    assert len(operation["tags"]) == 1
    assert 0 < len(operation["summary"]) <= 100
    assert operation["description"]
    undescribed = [item["name"] for item in operation.get("parameters", []) if not item.get("description")]
    assert undescribed == []
    without_example = [item["name"] for item in operation.get("parameters", []) if "example" not in item]
    assert without_example == []


@each_call
def test_every_body_of_a_call_has_an_example(call: Call) -> None:
    assert [
        (place, content_type)
        for place, content_type, media in media_of(call)
        if content_type.endswith("json") or content_type.startswith("text/")
        if not examples_in(media)
    ] == []


@each_call
def test_every_example_fits_its_schema(call: Call) -> None:
    for place, content_type, media in media_of(call):
        for example in examples_in(media):
            assert complaints(example, media["schema"]) == [], f"{place} {content_type}"
    for parameter in call.operation.get("parameters", []):
        assert complaints(parameter["example"], parameter["schema"]) == [], parameter["name"]


@each_call
def test_every_error_of_a_call_is_a_problem_document(call: Call) -> None:
    responses = call.operation["responses"]
    errors = {status: resolved(response) for status, response in responses.items() if status[0] in "45d"}
    assert all(list(answer["content"]) == [PROBLEM_JSON] for answer in errors.values())
    for status, answer in errors.items():
        [example] = examples_in(answer["content"][PROBLEM_JSON])
        assert status == "default" or example["status"] == int(status)
    expected = {"401", "403", "429", "503"} if "api_key" in call.schemes else set()
    expected |= {"404"} if call.parameters("path") else set()
    expected |= {"422"} if call.operation.get("parameters") or "requestBody" in call.operation else set()
    assert expected <= errors.keys()


@each_call
def test_a_call_says_which_headers_its_answers_have(call: Call) -> None:
    for status, response in call.operation["responses"].items():
        headers = resolved(response).get("headers", {})
        assert "traceparent" in headers
        assert status not in ("429", "503") or "Retry-After" in headers
        if status == "200" and call.method == "GET" and JSON in resolved(response).get("content", {}):
            assert "Cache-Control" in headers
            is_secret = headers["Cache-Control"].get("example") == "no-store"
            assert ("ETag" in headers) is not is_secret


def test_every_schema_is_described_and_has_a_name_for_clients() -> None:
    assert [name for name, schema in _SCHEMAS.items() if not schema.get("description")] == []
    assert [name for name in _SCHEMAS if not re.fullmatch(r"[A-Z][A-Za-z]+", name)] == []
    assert [name for name in _SCHEMAS if re.search(r"(?:Out|View|[a-z]In)$", name)] == []


def test_every_component_is_used() -> None:
    text = json.dumps(DOCUMENT)
    for kind, components in DOCUMENT["components"].items():
        if kind != "securitySchemes":
            assert [name for name in components if f'"#/components/{kind}/{name}"' not in text] == []


def test_links_lead_to_calls_by_parameters_that_they_have() -> None:
    calls = {call.name: call for call in CALLS}
    links = [link for call in CALLS for answer in call.successes.values() for link in answer.get("links", {}).values()]
    assert links
    for link in links:
        assert link["parameters"].keys() == calls[link["operationId"]].parameters("path").keys()
