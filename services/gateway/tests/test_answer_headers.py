"""Every answer says what a browser must not do with it; another origin may read what the operator allows."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from fluxline.runtime.settings import explain
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_gateway.answer_headers import NOTHING
from fluxline_gateway.api import EXPOSED_HEADERS, make_app
from fluxline_gateway.app import routers
from fluxline_gateway.deps import Gateway
from fluxline_gateway.settings import GatewaySettings

from .conftest import URL
from .documented import CALLS, Call
from .example_world import key_of, make_world

FRONTEND = "https://app.example.com"


@asynccontextmanager
async def calling(gateway: Gateway, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with other settings, without a key."""
    changed = Gateway(
        GatewaySettings.model_validate(gateway.settings.model_dump() | settings),
        *(gateway.database, gateway.bus, gateway.storage, gateway.live),
        http=gateway.http,
    )
    app = make_app(changed, routers(changed.storage), probes={}, tracer_provider=make_tracer_provider("gateway", None))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client


def assert_safe(answer: httpx.Response, policy: str = NOTHING) -> None:
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == policy
    assert "strict-transport-security" not in headers
    assert "access-control-allow-origin" not in headers
    if answer.request.url.path.startswith("/v1/"):
        assert headers["cache-control"]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
async def test_every_call_answers_safely_well_or_not(
    app: FastAPI, anonymous: httpx.AsyncClient, gateway: Gateway, call: Call
) -> None:
    await make_world(app)
    assert_safe(await call.send(anonymous, next(call.sent())))
    anonymous.headers["Authorization"] = f"Bearer {await key_of(gateway, 'bob', 'admin')}"
    assert_safe(await call.send(anonymous, next(call.sent())))
    if "api_key" in call.schemes and call.name != "stream_training_events":
        anonymous.headers["Authorization"] = f"Bearer {await key_of(gateway, 'ada', 'admin')}"
        answer = await call.send(anonymous, next(call.sent()))
        allowed = (NOTHING, "default-src 'none'; sandbox")
        assert answer.headers["content-security-policy"] in allowed
        assert answer.headers["ratelimit"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/v1/nothing", "/openapi.json", "/storage/x", "/docs/oauth2-redirect"]
)
async def test_every_other_answer_is_safe_too(anonymous: httpx.AsyncClient, path: str) -> None:
    assert_safe(await anonymous.get(path))
    assert_safe(await anonymous.delete(path))


async def test_a_crash_is_answered_safely_and_a_frontend_may_read_it(app: FastAPI, gateway: Gateway) -> None:
    async def crash() -> None:
        raise ZeroDivisionError

    async with calling(gateway, cors_origins=(FRONTEND,)) as client:
        client._transport.app.add_api_route("/crash", crash)  # type: ignore[attr-defined]
        answer = await client.get("/crash", headers={"Origin": FRONTEND})
    assert answer.status_code == 500
    assert answer.headers["access-control-allow-origin"] == FRONTEND
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["traceparent"]


async def test_what_changes_something_must_not_be_stored_and_what_is_read_must_be_asked_for_again(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient
) -> None:
    assert (await client.post("/v1/keys", json={"name": "x"})).headers["cache-control"] == "no-store"
    assert (await client.get("/v1/images/none")).headers["cache-control"] == "no-store"
    assert (await anonymous.get("/v1/me")).headers["cache-control"] == "no-store"
    assert (await client.get("/v1/me")).headers["cache-control"] == "private, no-cache"


async def test_behind_tls_a_browser_is_told_to_stay_there(gateway: Gateway) -> None:
    async with calling(gateway, public_url="https://api.example.com") as client:
        for path in ("/v1/limits", "/v1/me", "/docs", "/nothing"):
            assert (await client.get(path)).headers["strict-transport-security"] == "max-age=31536000"


async def test_the_page_of_the_documentation_may_run_its_own_scripts_and_no_others(
    anonymous: httpx.AsyncClient,
) -> None:
    page = await anonymous.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    [inline] = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy["script-src"]
    assert "unsafe" not in policy["script-src"]
    for source in re.findall(r'<script src="([^"]+)"', page.text):
        assert any(source.startswith(allowed) for allowed in policy["script-src"].split())
    for source in re.findall(r'rel="stylesheet" href="([^"]+)"', page.text):
        assert any(source.startswith(allowed) for allowed in policy["style-src"].split())
    for source in re.findall(r'rel="shortcut icon" href="([^"]+)"', page.text):
        assert any(source.startswith(allowed) for allowed in policy["img-src"].split())
    assert (policy["default-src"], policy["connect-src"], policy["frame-ancestors"]) == ("'none'", "'self'", "'none'")


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, last-event-id",
}


async def test_a_frontend_that_was_named_may_call_and_read(gateway: Gateway) -> None:
    async with calling(gateway, cors_origins=(FRONTEND,)) as client:
        preflight = await client.options("/v1/trainings", headers={"Origin": FRONTEND} | PREFLIGHT)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == FRONTEND
        for method in ("GET", "POST", "PATCH", "DELETE", "PUT"):
            assert method in preflight.headers["access-control-allow-methods"]
        for name in PREFLIGHT["Access-Control-Request-Headers"].split(", "):
            assert name in preflight.headers["access-control-allow-headers"].lower()
        assert int(preflight.headers["access-control-max-age"]) == 3600
        assert preflight.headers["x-content-type-options"] == "nosniff"
        answer = await client.get("/v1/me", headers={"Origin": FRONTEND})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == FRONTEND
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert exposed == set(EXPOSED_HEADERS) >= {"RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"}
    for headers in (preflight.headers, answer.headers):
        assert "access-control-allow-credentials" not in headers
        assert "Origin" in headers["vary"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "http://app.example.com", f"{FRONTEND}.evil.com", "null"]
)
async def test_a_frontend_that_was_not_named_may_not(gateway: Gateway, origin: str) -> None:
    async with calling(gateway, cors_origins=(FRONTEND,)) as client:
        preflight = await client.options("/v1/trainings", headers={"Origin": origin} | PREFLIGHT)
        answer = await client.get("/v1/limits", headers={"Origin": origin})
    assert preflight.status_code == 400
    for headers in (preflight.headers, answer.headers):
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "null", "", "app.example.com", "//app.example.com", "ftp://app.example.com", "https://"),
        *(f"{FRONTEND}/", f"{FRONTEND}/path", f"{FRONTEND}?x", f"{FRONTEND}#x", "https://App.example.com"),
        *(f"{FRONTEND}:443", "https://ada@app.example.com", "https://*.example.com", "https://äpp.example.com"),
        *("https://:8443", f"{FRONTEND}:99999"),
    ],
)
def test_an_origin_that_no_browser_would_send_is_refused_with_the_remedy(
    settings: GatewaySettings, origin: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        GatewaySettings.model_validate(settings.model_dump() | {"cors_origins": (origin,)})
    assert "GATEWAY_CORS_ORIGINS: " in explain(GatewaySettings, refusal.value)
    assert "→ the origins of web frontends" in explain(GatewaySettings, refusal.value)


@pytest.mark.parametrize("origin", [FRONTEND, "http://localhost:5173", "http://127.0.0.1:8080", "https://[::1]:8443"])
def test_an_origin_as_browsers_send_it_is_taken(settings: GatewaySettings, origin: str) -> None:
    GatewaySettings.model_validate(settings.model_dump() | {"cors_origins": (origin,)})
