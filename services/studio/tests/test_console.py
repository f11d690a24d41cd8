"""Models, pictures, account and operations, over a gateway that answers what its document shows."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxline_studio.app import make_app
from fluxline_studio.pages.generate import order_of
from fluxline_studio.settings import StudioSettings

KEY, ORIGIN = "fl_the-key-of-ada", "http://studio.test"
DOCUMENT = json.loads((Path(__file__).parents[3] / "docs" / "openapi.json").read_text())
MODEL = DOCUMENT["components"]["schemas"]["Model"]["examples"][0]
GENERATE = f"/models/{MODEL['id']}/generate"
PAGES = ["/models", f"/models/{MODEL['id']}", GENERATE, "/account", "/operations"] + [
    f"/operations/{name}" for name in ("alerts", "insights", "logs", "owners", "audit")
]


class Gateway:
    """Answers with the examples of the document, but for what a test says of a path."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.instead: dict[str, httpx.Response] = {}
        self.scopes = ["read", "write", "admin"]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        path = request.url.path
        if path in self.instead:
            return self.instead[path]
        answer = _example(request.method, path)
        if path == "/v1/me":
            answer |= {"scopes": self.scopes}
        return httpx.Response(200, json=answer)


def _example(method: str, path: str) -> Any:
    for template in sorted(DOCUMENT["paths"], key=lambda template: template.count("{")):
        pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template))
        operation = DOCUMENT["paths"][template].get(method.lower())
        if operation and re.fullmatch(pattern, path):
            status = next(code for code in sorted(operation["responses"]) if code[0] == "2")
            content = operation["responses"][status].get("content", {}).get("application/json")
            return next(iter(content["examples"].values()))["value"] if content else {}
    raise AssertionError(f"the document has no {method} {path}")


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def ada(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    settings = StudioSettings(secret="s" * 32, cookie_secure=False, _env_file=None)  # type: ignore[call-arg, arg-type]
    transport = httpx.ASGITransport(make_app(settings, httpx.MockTransport(gateway)))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        assert (await client.post("/sign-in", data={"key": KEY})).status_code == 303
        gateway.asked.clear()
        yield client


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_shows_what_the_document_shows(ada: httpx.AsyncClient, path: str) -> None:
    page = await ada.get(path)
    assert page.status_code == 200
    assert page.text.count("<h1") == 1
    assert KEY not in page.text


async def test_a_link_to_the_hub_is_one_of_https(ada: httpx.AsyncClient, gateway: Gateway) -> None:
    hub = MODEL["huggingface"] | {"url": "javascript:alert(1)"}
    gateway.instead[f"/v1/models/{MODEL['id']}"] = httpx.Response(200, json=MODEL | {"huggingface": hub})
    assert "javascript:" not in (await ada.get(f"/models/{MODEL['id']}")).text


async def test_an_order_goes_to_the_gateway_once_with_its_numbers(ada: httpx.AsyncClient, gateway: Gateway) -> None:
    form = {"once": "order-1", "prompt": "a <b>boat</b>", "num_outputs": "2", "lora_scale": "0.8", "seed": ""}
    answer = await ada.post(GENERATE, data=form)
    assert answer.headers["location"] == f"{GENERATE}#pictures"
    [order] = gateway.asked
    assert order.headers["idempotency-key"] == "order-1"
    assert json.loads(order.content) == {"prompt": "a <b>boat</b>", "num_outputs": 2, "lora_scale": 0.8}


def test_what_is_no_number_is_left_for_the_gateway_to_refuse() -> None:
    assert order_of({"prompt": "x", "seed": "7", "num_outputs": "two", "unknown": "1"}) == {
        "prompt": "x",
        "num_outputs": "two",
        "seed": 7,
    }


async def test_a_refused_order_keeps_what_was_written_and_says_why_beside_it(
    ada: httpx.AsyncClient, gateway: Gateway
) -> None:
    refused = {"title": "Request not valid", "errors": [{"field": "seed", "message": "too large"}]}
    gateway.instead[f"/v1/models/{MODEL['id']}/generations"] = httpx.Response(422, json=refused)
    page = await ada.post(GENERATE, data={"prompt": "a boat", "seed": "99999999999"})
    assert page.status_code == 422
    assert ">a boat</textarea>" in page.text
    assert 'id="seed-error">too large' in page.text
    assert 'aria-describedby="seed-hint seed-error" aria-invalid="true"' in page.text


async def test_a_new_key_is_shown_once_and_kept_nowhere(ada: httpx.AsyncClient) -> None:
    page = await ada.post("/account/keys", data={"name": "laptop"})
    assert "fl_Ab3000" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "fl_Ab3000" not in (await ada.get("/account")).text


async def test_a_part_that_does_not_answer_takes_no_other_with_it(ada: httpx.AsyncClient, gateway: Gateway) -> None:
    gateway.instead["/v1/admin/health"] = httpx.Response(503, json={"title": "NATS is away", "hint": "Wait."})
    page = await ada.get("/operations")
    assert page.status_code == 200
    assert "NATS is away. Wait." in page.text
    assert 'aria-label="Replay 17"' in page.text


async def test_who_is_no_operator_sees_no_operations(ada: httpx.AsyncClient, gateway: Gateway) -> None:
    gateway.instead["/v1/admin/health"] = httpx.Response(403, json={"title": "Scope missing"})
    page = await ada.get("/operations")
    assert (page.status_code, "Scope missing" in page.text) == (403, True)


@pytest.mark.parametrize(("act", "call"), [("replay", "POST {}/replay"), ("drop", "DELETE {}")])
async def test_a_dead_letter_is_replayed_or_dropped(
    ada: httpx.AsyncClient, gateway: Gateway, act: str, call: str
) -> None:
    assert (await ada.post(f"/operations/dead-letters/17/{act}")).status_code == 303
    assert [f"{asked.method} {asked.url.path}" for asked in gateway.asked] == [call.format("/v1/admin/dead-letters/17")]


async def test_the_page_for_being_offline_says_nothing_of_anybody(ada: httpx.AsyncClient) -> None:
    page = await ada.get("/offline")
    assert (page.status_code, "ada" in page.text.replace("data-", "")) == (200, False)
    assert (await ada.get("/worker.js")).headers["content-type"].startswith("text/javascript")
