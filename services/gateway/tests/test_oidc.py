"""JSON Web Tokens: one of the trusted issuer speaks for its owner, and nothing that only looks like one does."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI
from pydantic import TypeAdapter

from fluxline.contracts.ids import OwnerName
from fluxline_gateway.errors import PROBLEM_JSON
from fluxline_gateway.identity import oidc, oidc_keys
from fluxline_gateway.identity.oidc_keys import ALGORITHMS, FIRST_PAUSE_S, FRESH_S, PAUSE_S, IssuerKeys, usable_keys
from fluxline_gateway.settings import GatewaySettings

from .conftest import URL
from .token_issuer import AUDIENCE, Issuer, jwk_of, private_key, public_pem, token_issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with token_issuer() as issuer:
        yield issuer


@pytest.fixture
def settings(database_url: str, issuer: Issuer) -> GatewaySettings:
    return GatewaySettings(
        nats_url="nats://127.0.0.1:1",
        database_url=database_url,
        collector_token="the collector's token",
        oidc_issuer=issuer.url,
        oidc_audience=AUDIENCE,
        oidc_admin_scope="fluxline:admin",
        _env_file=None,
    )


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        yield client


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(app: FastAPI) -> Clock:
    """The clock of the gateway's store of keys."""
    clock = Clock()
    keys = app.state.gateway.tokens._keys
    assert isinstance(keys, IssuerKeys)
    keys._clock = clock
    return clock


async def me(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})


def raw(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None) -> str:
    """A token that no library would make; signed with HMAC-SHA256, or not at all."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signed = b".".join(parts)
    signature = hmac.new(secret, signed, hashlib.sha256).digest() if secret else b""
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_speaks_for_its_owner_by_every_algorithm(
    client: httpx.AsyncClient, issuer: Issuer, algorithm: str
) -> None:
    issuer.keys = [jwk_of("one", algorithm)]
    answer = await me(client, issuer.token(algorithm=algorithm))
    assert answer.status_code == 200, answer.text
    assert answer.json()["owner"] == "ada"
    assert answer.json()["key_id"] is None
    assert answer.json()["scopes"] == ["read", "write"]
    assert answer.headers["ratelimit"]


async def test_a_token_and_a_key_of_one_owner_see_the_same(client: httpx.AsyncClient, issuer: Issuer) -> None:
    headers = {"Authorization": f"Bearer {issuer.token()}"}
    made = await client.post("/v1/keys", json={"name": "by a token"}, headers=headers)
    assert made.status_code == 201, made.text
    assert made.json()["owner"] == "ada"
    by_key = await client.get("/v1/keys", headers={"Authorization": f"Bearer {made.json()['key']}"})
    assert [key["name"] for key in by_key.json()["items"]] == ["by a token"]


FORGERIES: dict[str, dict[str, Any]] = {
    "expired": {"exp": int(time.time()) - 120},
    "not yet valid": {"nbf": int(time.time()) + 3600},
    "issued in the future": {"iat": int(time.time()) + 3600},
    "for another audience": {"aud": "https://other.example.com"},
    "of another issuer": {"iss": "https://other.example.com"},
    "for a user who is no text": {"sub": 7},
    "for nobody": {"sub": ""},
    **{f"without {claim}": {claim: None} for claim in (*oidc.REQUIRED, "sub")},
}


@pytest.mark.parametrize("changes", FORGERIES.values(), ids=list(FORGERIES))
async def test_a_token_with_wrong_claims_is_refused(
    client: httpx.AsyncClient, issuer: Issuer, changes: dict[str, Any]
) -> None:
    claims = json.dumps(issuer.claims(**changes)).encode()
    token = jwt.api_jws.encode(claims, private_key("RS256"), "RS256", {"kid": "one"})  # whatever it says
    assert_refused(await me(client, token), token)


def assert_refused(answer: httpx.Response, token: str) -> None:
    assert answer.status_code == 401, answer.text
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    problem = answer.json()
    assert (problem["title"], problem["category"]) == ("Token not valid", "authentication")
    assert problem["detail"]
    assert problem["hint"]
    assert all(part not in answer.text for part in token.split(".") if len(part) > 8)


async def test_a_token_needs_no_nbf(client: httpx.AsyncClient, issuer: Issuer) -> None:
    assert (await me(client, issuer.token(nbf=None))).status_code == 200


async def test_within_the_leeway_clocks_may_differ(client: httpx.AsyncClient, issuer: Issuer) -> None:
    now = int(time.time())
    assert (await me(client, issuer.token(exp=now - 30))).status_code == 200
    assert (await me(client, issuer.token(iat=now + 30, nbf=now + 30))).status_code == 200


async def test_a_token_without_a_signature_is_refused(client: httpx.AsyncClient, issuer: Issuer) -> None:
    for algorithm in ("none", "None", "NONE", "nOnE"):
        token = raw({"alg": algorithm, "kid": "one"}, issuer.claims(), None)
        assert_refused(await me(client, token), token)


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(
    client: httpx.AsyncClient, issuer: Issuer
) -> None:
    for algorithm in ("HS256", "RS256"):
        token = raw({"alg": algorithm, "kid": "one", "typ": "JWT"}, issuer.claims(), public_pem("RS256"))
        assert_refused(await me(client, token), token)


async def test_a_shared_secret_among_the_published_keys_opens_nothing(
    client: httpx.AsyncClient, issuer: Issuer
) -> None:
    secret = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
    issuer.keys = [{"kty": "oct", "kid": "one", "k": secret}, {"kty": "oct", "kid": "one", "k": secret, "alg": "RS256"}]
    token = raw({"alg": "HS256", "kid": "one"}, issuer.claims(), b"s" * 32)
    assert_refused(await me(client, token), token)


async def test_a_token_of_somebody_elses_key_is_refused(client: httpx.AsyncClient, issuer: Issuer) -> None:
    other = rsa.generate_private_key(65537, 2048)
    token = issuer.token(key=other)
    assert_refused(await me(client, token), token)
    own = issuer.token()
    changed = own[:-8] + ("A" * 8 if not own.endswith("A" * 8) else "B" * 8)
    assert_refused(await me(client, changed), changed)


async def test_the_key_that_a_token_brings_along_is_not_believed(client: httpx.AsyncClient, issuer: Issuer) -> None:
    other = rsa.generate_private_key(65537, 2048)
    jwk = jwk_of("theirs", key=other)
    extra = {"kid": "theirs", "jwk": jwk, "jku": f"{issuer.url}/theirs", "x5u": f"{issuer.url}/theirs"}
    token = jwt.encode(issuer.claims(), other, "RS256", extra)
    assert_refused(await me(client, token), token)


async def test_an_algorithm_other_than_the_keys_own_is_refused(client: httpx.AsyncClient, issuer: Issuer) -> None:
    issuer.keys = [jwk_of("one", alg="RS256")]
    assert (await me(client, issuer.token())).status_code == 200
    token = issuer.token(algorithm="PS256")
    assert_refused(await me(client, token), token)


async def test_a_token_of_another_kind_is_refused(client: httpx.AsyncClient, issuer: Issuer) -> None:
    for kind, status in (("at+jwt", 200), ("JWT", 200), ("logout+jwt", 401), ("secevent+jwt", 401), (7, 401)):
        headers = {"kid": "one", "typ": kind}
        token = jwt.encode(issuer.claims(), private_key("RS256"), "RS256", headers)
        assert (await me(client, token)).status_code == status, kind


@pytest.mark.parametrize(
    "token", ["..", "a.b.c", "e30.e30.", "é.é.é", "A" * 9000 + ".e30.e30", "fl_.x.y", "bnVsbA.bnVsbA.x"]
)
async def test_what_is_no_token_is_refused(client: httpx.AsyncClient, issuer: Issuer, token: str) -> None:
    headers = {b"Authorization": f"Bearer {token}".encode()}
    answer = await client.get("/v1/me", headers=headers)
    assert answer.status_code == 401, answer.text
    assert issuer.asked == 0


@pytest.mark.parametrize(
    "header",
    [
        {"alg": ["RS256"]},
        {"alg": {"a": 1}},
        {"alg": None},
        {"alg": "RS256", "kid": 7},
        {"alg": "RS256", "kid": "one", "crit": ["exp"]},
        {"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": False},
    ],
    ids=str,
)
async def test_a_strange_header_is_refused(client: httpx.AsyncClient, issuer: Issuer, header: dict[str, Any]) -> None:
    token = raw(header, issuer.claims(), b"s" * 32)
    assert_refused(await me(client, token), token)


async def test_without_an_issuer_a_token_is_a_bad_key(client: httpx.AsyncClient, issuer: Issuer, app: FastAPI) -> None:
    gateway = app.state.gateway
    vars(gateway)["tokens"] = oidc.Tokens(gateway.settings.model_copy(update={"oidc_issuer": None}), gateway.http)
    answer = await me(client, issuer.token())
    assert (answer.status_code, answer.json()["title"]) == (401, "API key not valid")
    assert issuer.asked == 0


async def test_keys_are_asked_for_once_and_anew_when_they_are_old(
    client: httpx.AsyncClient, issuer: Issuer, clock: Clock
) -> None:
    for _ in range(20):
        assert (await me(client, issuer.token())).status_code == 200
    assert issuer.asked == 1
    clock.now += FRESH_S - 1
    assert (await me(client, issuer.token())).status_code == 200
    assert issuer.asked == 1
    issuer.keys = [jwk_of("two")]
    clock.now += 1
    assert (await me(client, issuer.token())).status_code == 401
    assert (await me(client, issuer.token("two"))).status_code == 200
    assert issuer.asked == 2


async def test_a_new_key_is_found_and_the_old_one_goes_on(
    client: httpx.AsyncClient, issuer: Issuer, clock: Clock
) -> None:
    assert (await me(client, issuer.token())).status_code == 200
    other = rsa.generate_private_key(65537, 2048)
    issuer.keys.append(jwk_of("two", key=other))
    clock.now += PAUSE_S
    assert (await me(client, issuer.token("two", key=other))).status_code == 200
    assert (await me(client, issuer.token())).status_code == 200
    assert issuer.asked == 2


async def test_a_flood_of_unknown_keys_asks_the_issuer_once_in_a_pause(
    client: httpx.AsyncClient, issuer: Issuer, clock: Clock, app: FastAPI
) -> None:
    assert (await me(client, issuer.token())).status_code == 200
    for _ in range(3):
        clock.now += PAUSE_S
        for number in range(50):
            assert (await me(client, issuer.token(f"made up {number}"))).status_code == 401
    assert issuer.asked == 4
    assert len(app.state.gateway.tokens._keys._keys) == len(usable_keys({"keys": issuer.keys}))


async def test_a_token_without_a_key_id_is_verified_with_the_only_key(
    client: httpx.AsyncClient, issuer: Issuer, clock: Clock
) -> None:
    assert (await me(client, issuer.token(None))).status_code == 200
    issuer.keys.append(jwk_of("two"))
    clock.now += FRESH_S
    assert (await me(client, issuer.token(None))).status_code == 401


async def test_an_outage_of_the_issuer_ends_nothing_that_worked(
    client: httpx.AsyncClient, issuer: Issuer, clock: Clock
) -> None:
    assert (await me(client, issuer.token())).status_code == 200
    issuer.status = 500
    for _ in range(5):
        clock.now += FRESH_S
        assert (await me(client, issuer.token())).status_code == 200
    assert (await me(client, issuer.token("new"))).status_code == 503
    issuer.status = 200
    clock.now += PAUSE_S
    assert (await me(client, issuer.token("new"))).status_code == 401


async def test_an_issuer_that_was_never_reached_is_no_reason_to_refuse(
    client: httpx.AsyncClient, issuer: Issuer, clock: Clock, app: FastAPI
) -> None:
    issuer.status = 500
    answer = await me(client, issuer.token())
    assert answer.status_code == 503
    assert answer.json()["title"] == "Identity provider unavailable"
    assert answer.headers["retry-after"] == "5"
    issuer.status = 200
    assert (await me(client, issuer.token())).status_code == 503
    clock.now += FIRST_PAUSE_S
    assert (await me(client, issuer.token())).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://other.example.com"},
        {"issuer": None},
        {"jwks_uri": "http://keys.example.com/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
    ],
    ids=str,
)
async def test_a_wrong_discovery_document_is_not_followed(
    client: httpx.AsyncClient, issuer: Issuer, wrong: dict[str, Any]
) -> None:
    issuer.discovery |= wrong
    assert (await me(client, issuer.token())).status_code == 503
    assert issuer.asked == 0


def streamed(document: dict[str, Any]) -> httpx.Response:
    """An answer that is still to be read, as one from a network."""
    return httpx.Response(200, stream=httpx.ByteStream(json.dumps(document).encode()))


async def test_keys_are_asked_for_over_tls_alone() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return streamed({"issuer": "https://a.example.com", "jwks_uri": "http://b.example.com/keys"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        with pytest.raises(oidc_keys.IssuerUnavailable):
            await IssuerKeys("https://a.example.com", http).find("one", "RS256")
    assert asked == ["https://a.example.com/.well-known/openid-configuration"]


async def test_a_redirect_is_not_followed(client: httpx.AsyncClient, issuer: Issuer) -> None:
    issuer.status = 302
    assert (await me(client, issuer.token())).status_code == 503
    assert issuer.asked == 0


async def test_in_an_outage_one_request_waits_for_the_issuer_and_not_all() -> None:
    waits, clock = asyncio.Event(), Clock()
    broken, hanging = False, asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if broken:
            hanging.set()
            await waits.wait()
            return httpx.Response(500)
        body = {"issuer": "https://a.example.com", "jwks_uri": "https://a.example.com/keys", "keys": [jwk_of("one")]}
        return streamed(body)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        keys = IssuerKeys("https://a.example.com", http, clock)
        known = await keys.find("one", "RS256")
        assert known is not None
        broken, clock.now = True, clock.now + FRESH_S
        waits.set()
        assert await keys.find("one", "RS256") is known
        waits.clear()
        hanging.clear()
        clock.now += PAUSE_S
        asking = asyncio.create_task(keys.find("one", "RS256"))
        await hanging.wait()
        assert await asyncio.wait_for(keys.find("one", "RS256"), 1) is known
        assert not asking.done()
        waits.set()
        assert await asking is known


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 5000, b'{"keys": "' + b"A" * 300_000 + b'"}'], ids=len)
async def test_an_answer_that_is_no_key_set_counts_as_an_outage(
    client: httpx.AsyncClient, issuer: Issuer, body: bytes
) -> None:
    issuer.body = body
    assert (await me(client, issuer.token())).status_code == 503
    assert issuer.asked == 1


def test_of_a_key_set_only_public_keys_for_signatures_are_used() -> None:
    weak = rsa.generate_private_key(65537, 1024)  # that is what is tested
    with_private = jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048), as_dict=True)
    useless: list[Any] = [
        None,
        [],
        "key",
        {},
        {"kty": "RSA", "kid": "no number", "n": 7, "e": "AQAB"},
        {"kty": "RSA", "kid": "no modulus"},
        {"kty": "EC", "kid": "off the curve", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "kid": "unknown curve", "crv": ["P-256"], "x": "AA", "y": "AA"},
        {"kty": "OKP", "kid": "no point", "crv": "Ed25519"},
        {"kty": "oct", "kid": "shared", "k": "AAAA"},
        {**with_private, "kid": "private"},
        jwk_of("weak", key=weak),
        jwk_of("to encrypt", use="enc"),
        jwk_of("unknown", alg="RSA-OAEP"),
        {**jwk_of("x"), "kid": 7},
    ]
    assert usable_keys({"keys": useless}) == {}
    assert usable_keys({"keys": "none"}) == usable_keys({}) == {}
    found = usable_keys({"keys": [*useless, jwk_of("good", alg="RS256"), jwk_of("curve", "ES256")]})
    assert found.keys() == {("good", "RS256"), ("curve", "ES256")}


@pytest.mark.parametrize(
    ("claim", "scopes"),
    [
        (None, ["read", "write"]),
        ("", ["read", "write"]),
        ("openid profile", ["read", "write"]),
        ("read", ["read"]),
        ("openid read", ["read"]),
        (["read", "write", 7], ["read", "write"]),
        ("admin", ["read", "write"]),
        ("read admin", ["read"]),
        ("fluxline:admin", ["admin"]),
        ({"read": True}, ["read", "write"]),
        ("reader", ["read", "write"]),
    ],
    ids=str,
)
async def test_scopes_are_the_known_words_of_the_claim(
    client: httpx.AsyncClient, issuer: Issuer, claim: object, scopes: list[str]
) -> None:
    answer = await me(client, issuer.token(scope=claim))
    assert sorted(answer.json()["scopes"]) == scopes


async def test_a_tokens_scopes_are_kept_to(client: httpx.AsyncClient, issuer: Issuer) -> None:
    async def status(method: str, path: str, scope: str) -> int:
        headers = {"Authorization": f"Bearer {issuer.token(scope=scope)}"}
        return (await client.request(method, path, headers=headers, json={"name": "x"})).status_code

    assert await status("POST", "/v1/keys", "read") == 403
    assert await status("GET", "/v1/admin/owners", "admin write") == 403
    assert await status("GET", "/v1/admin/owners", "fluxline:admin") == 200


def test_without_a_word_for_it_no_token_makes_an_administrator() -> None:
    for claim in ("admin", "fluxline:admin", ["admin"], "None", ["None", None]):
        assert "admin" not in oidc.scopes_of(claim, None)


async def test_whose_name_is_no_owners_gets_one_that_is_always_the_same(
    client: httpx.AsyncClient, issuer: Issuer
) -> None:
    owners = set()
    for value in ("auth0|ada", "Ada", "ada@example.com", "ada ", "ada\n", "a" * 64, "-ada", "\ud800", "?", "../ada"):
        owner = (await me(client, issuer.token(sub=value))).json()["owner"]
        assert owner == oidc.owner_of(issuer.url, value)
        assert len(owner) == len("oidc-") + 32
        assert TypeAdapter(OwnerName).validate_python(owner) == owner
        owners.add(owner)
    assert len(owners) == 10
    assert oidc.owner_of("https://a.example.com", "Ada") != oidc.owner_of("https://b.example.com", "Ada")


def test_nobody_can_choose_to_be_another_whose_name_was_derived() -> None:
    derived = oidc.owner_of("https://a.example.com", "auth0|ada")
    assert oidc.owner_of("https://a.example.com", derived) != derived
    assert oidc.owner_of("https://a.example.com", derived).startswith("oidc-")


async def test_a_token_that_ends_very_late_is_good(client: httpx.AsyncClient, issuer: Issuer) -> None:
    for exp in (10**12, 10**300):
        answer = await me(client, issuer.token(exp=exp))
        assert answer.status_code == 200, answer.text


def test_only_public_key_algorithms_are_known() -> None:
    assert all(algorithm[:2] in ("RS", "PS", "ES", "Ed") for algorithm in oidc_keys.ALGORITHMS)
