"""Signing in with an issuer, over a double of it that checks what it is asked as a real one does."""

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import ValidationError

from fluxline_studio.app import make_app
from fluxline_studio.settings import StudioSettings

ISSUER, STUDIO, TOKEN = "https://id.test", "http://studio.test", "head.body.signature"
CALLBACK = f"{STUDIO}/sign-in/oidc/callback"
WHOLE = {
    "secret": "s" * 32, "cookie_secure": False, "public_url": STUDIO, "oidc_issuer": ISSUER,
    "oidc_client_id": "studio", "oidc_client_secret": "hush", "oidc_audience": "fluxline",
}  # fmt: skip


class Issuer:
    """Hands out codes for challenges, and a token to who has the verifier and the client's secret."""

    def __init__(self) -> None:
        self.name = ISSUER
        self.token_url = f"{ISSUER}/token"
        self.token: Any = TOKEN
        self.challenges: dict[str, str] = {}

    def let_in(self, address: str) -> dict[str, str]:
        """What the browser comes back with, for the address it was sent to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert address.startswith(f"{ISSUER}/authorize?tenant=1&")
        assert (asked["response_type"], asked["client_id"], asked["redirect_uri"]) == ("code", "studio", CALLBACK)
        assert (asked["code_challenge_method"], asked["scope"], asked["audience"]) == ("S256", "openid", "fluxline")
        code = f"code-{len(self.challenges)}"
        self.challenges[code] = asked["code_challenge"]
        return {"code": code, "state": asked["state"], "iss": ISSUER}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/.well-known/openid-configuration":
            facts = {"issuer": self.name, "authorization_endpoint": f"{ISSUER}/authorize?tenant=1"}
            return httpx.Response(200, json=facts | {"token_endpoint": self.token_url})
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        fits = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == self.challenges.pop(form["code"], None)
        knows = request.headers["authorization"] == f"Basic {base64.b64encode(b'studio:hush').decode()}"
        if not fits or not knows or form["redirect_uri"] != CALLBACK:
            return httpx.Response(400, json={"error": "invalid_grant"})
        return httpx.Response(200, json={"access_token": self.token, "token_type": "Bearer"})


def gateway(request: httpx.Request) -> httpx.Response:
    if request.headers["authorization"] != f"Bearer {TOKEN}":
        return httpx.Response(401, json={"title": "Token not valid"})
    if request.url.path == "/v1/me":
        return httpx.Response(200, json={"owner": "ada", "scopes": ["read"]})
    return httpx.Response(200, json={"items": [], "next_cursor": None})


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def browser(issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    settings = StudioSettings(**WHOLE, _env_file=None)  # type: ignore[arg-type]
    app = make_app(settings, httpx.MockTransport(gateway), httpx.MockTransport(issuer))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=STUDIO) as client:
        yield client


async def leave(browser: httpx.AsyncClient, next_path: str = "/?q=Ada") -> str:
    """Where the browser is sent."""
    return (await browser.get("/sign-in/oidc", params={"next": next_path})).headers["location"]


async def test_a_person_comes_back_signed_in_where_they_wanted_to_be(
    browser: httpx.AsyncClient, issuer: Issuer
) -> None:
    assert "/sign-in/oidc?next=/" in (await browser.get("/sign-in")).text
    back = await browser.get(CALLBACK, params=issuer.let_in(await leave(browser)))
    assert (back.status_code, back.headers["location"]) == (303, "/?q=Ada")
    assert TOKEN not in str(back.headers)
    assert "No training fits" in (await browser.get("/?q=Ada")).text


async def test_a_code_is_good_for_the_browser_that_asked_for_it_and_once(
    browser: httpx.AsyncClient, issuer: Issuer
) -> None:
    answer = issuer.let_in(await leave(browser))
    browser.cookies.clear()
    assert "not begun here" in (await browser.get(CALLBACK, params=answer)).text
    another = issuer.let_in(await leave(browser))
    assert "not begun here" in (await browser.get(CALLBACK, params={**another, "state": answer["state"]})).text
    third = issuer.let_in(await leave(browser))
    assert (await browser.get(CALLBACK, params=third)).status_code == 303
    assert "not begun here" in (await browser.get(CALLBACK, params=third)).text


async def test_the_code_of_another_sign_in_has_another_verifier(browser: httpx.AsyncClient, issuer: Issuer) -> None:
    stolen = issuer.let_in(await leave(browser))["code"]
    answer = issuer.let_in(await leave(browser))
    refused = await browser.get(CALLBACK, params={**answer, "code": stolen})
    assert (refused.status_code, "issuer has refused" in refused.text) == (422, True)


async def test_nobody_is_led_to_another_site_after_it(browser: httpx.AsyncClient, issuer: Issuer) -> None:
    back = await browser.get(CALLBACK, params=issuer.let_in(await leave(browser, "//evil.test")))
    assert back.headers["location"] == "/"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"token": "of.some.body"}, "gateway does not accept"),
        ({"token": "x" * 3000}, "longer than"),
        ({"token": None}, "no token"),
        ({"token_url": "http://id.test/token"}, "begins with https"),
        ({"name": "https://other.test"}, "another name"),
    ],
    ids=["refused", "long", "none", "plain", "name"],
)
async def test_what_does_not_work_is_said_and_signs_nobody_in(
    browser: httpx.AsyncClient, issuer: Issuer, change: dict[str, Any], says: str
) -> None:
    for name, value in change.items():
        setattr(issuer, name, value)
    answer = await browser.get("/sign-in/oidc")
    if answer.status_code == 303:
        answer = await browser.get(CALLBACK, params=issuer.let_in(answer.headers["location"]))
    assert (answer.status_code, says in answer.text) == (422, True), answer.text
    assert (await browser.get("/")).headers["location"].startswith("/sign-in")


async def test_a_person_whom_the_issuer_does_not_let_in_is_told_so(browser: httpx.AsyncClient) -> None:
    await leave(browser)
    answer = await browser.get(CALLBACK, params={"error": "access_denied", "error_description": "<b>no</b>"})
    assert "has not let you in" in answer.text
    assert "<b>no" not in answer.text


async def test_an_answer_of_another_issuer_is_refused(browser: httpx.AsyncClient, issuer: Issuer) -> None:
    answer = issuer.let_in(await leave(browser)) | {"iss": "https://other.test"}
    assert "Another issuer" in (await browser.get(CALLBACK, params=answer)).text


def test_an_issuer_needs_its_client_and_an_address_to_come_back_to() -> None:
    for name in ("oidc_client_id", "public_url"):
        with pytest.raises(ValidationError):
            StudioSettings(**{**WHOLE, name: None}, _env_file=None)  # type: ignore[arg-type]
