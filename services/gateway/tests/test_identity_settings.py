"""The settings of token issuers: what is wrong stops the gateway at start, with the remedy."""

from typing import Any

import pytest
from pydantic import ValidationError

from fluxline.runtime.settings import explain
from fluxline_gateway.settings import GatewaySettings

ISSUER = "https://login.example.com/realms/main"


def made(**settings: Any) -> GatewaySettings:
    facts = {
        "nats_url": "nats://127.0.0.1:1",
        "database_url": "postgresql://x@127.0.0.1/x",
        "collector_token": "t" * 16,
    }
    return GatewaySettings(**facts | settings, _env_file=None)


def complaint(**settings: Any) -> str:
    with pytest.raises(ValidationError) as refusal:
        made(**settings)
    return explain(GatewaySettings, refusal.value)


@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER,
        f"{ISSUER}/",
        "https://login.example.com",
        "http://127.0.0.1:8080",
        "http://localhost/x",
        "http://[::1]:1",
    ],
)
def test_an_issuer_is_kept_letter_by_letter(issuer: str) -> None:
    assert made(oidc_issuer=issuer, oidc_audience="fluxline").oidc_issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        *("", "login.example.com", "http://login.example.com", "http://127.0.0.1.example.com", "https://"),
        *(f"{ISSUER}?x", f"{ISSUER}#x", "https://ada:secret@login.example.com", "https://login example.com"),
        *("https://login.example.com:port", "file:///issuer", "https://lögin.example.com", "https://[::1"),
    ],
)
def test_a_wrong_issuer_is_refused_with_the_remedy_and_without_its_text(issuer: str) -> None:
    text = complaint(oidc_issuer=issuer, oidc_audience="fluxline")
    assert "GATEWAY_OIDC_ISSUER: " in text
    assert "→ the issuer whose JSON Web Tokens are trusted" in text
    assert "secret" not in text
    assert "AUDIENCE: " not in text


@pytest.mark.parametrize("audience", [None, ""])
def test_an_issuer_needs_an_audience(audience: str | None) -> None:
    assert "GATEWAY_OIDC_AUDIENCE: is not set → set it" in complaint(oidc_issuer=ISSUER, oidc_audience=audience)


def test_an_audience_without_an_issuer_is_a_mistake() -> None:
    assert "GATEWAY_OIDC_AUDIENCE: is set, but GATEWAY_OIDC_ISSUER is not" in complaint(oidc_audience="fluxline")


def test_without_both_there_are_keys_alone() -> None:
    assert made().oidc_issuer is None


@pytest.mark.parametrize("name", ["", 'a"b', "a b", "ä", "a\r\nb"])
def test_a_claim_has_a_name_that_may_stand_in_a_header(name: str) -> None:
    assert "GATEWAY_OIDC_OWNER_CLAIM: " in complaint(oidc_owner_claim=name)


@pytest.mark.parametrize("word", ["", "two words"])
def test_the_word_for_administrators_is_one_word(word: str) -> None:
    assert "GATEWAY_OIDC_ADMIN_SCOPE: " in complaint(oidc_admin_scope=word)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_lets_something_pass(limit: int) -> None:
    assert "GATEWAY_REQUESTS_PER_MINUTE: " in complaint(requests_per_minute=limit)
