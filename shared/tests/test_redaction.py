"""Secrets never reach a log, a summary or an event, in whatever shape or encoding; clean text stays as it is."""

import base64
import json
import string
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from fluxline.runtime import redaction
from fluxline.runtime.known_secrets import KnownSecrets
from fluxline.runtime.redaction import (
    REDACTED,
    know_secrets,
    know_settings,
    might_hold_secret,
    redact,
    redact_bytes,
    redact_text,
)

HEX40 = "0123456789abcdef0123456789abcdef01234567"
MIXED40 = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA0Zx\nkq9Jw2\n-----END RSA PRIVATE KEY-----"
SHAPED = [  # the text, and the part that is the secret
    ("r8_" + "Ab3" * 12 + "x", "Ab3Ab3"),
    ("token hf_abcdefghijklmnopqrst refused", "abcdefghijkl"),
    ("r8_sandbox_0000000000000000000000000000000", "0000000"),
    ("tgp_v1_" + "aB3-_" * 8, "aB3-_aB3"),
    ("fl_" + "Ab3f" * 10, "Ab3fAb3f"),
    ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8G"),
    ("3f2b1c4d-0000-4000-8000-0123456789ab:0123456789abcdef0123456789abcdef", ":0123456789abcdef"),
    (f"aws AKIAIOSFODNN7EXAMPLE, secret: {MIXED40}", "bPxRfiCY"),
    (f"AKIAIOSFODNN7EXAMPLE\n{MIXED40}", "bPxRfiCY"),
    (f"login with {JWT} failed", "dBjftJeZ4CV"),
    (PEM, "MIIEowIBAAKCAQEA0Zx"),
    (PEM[:60], "MIIEow"),
    ("Basic " + base64.b64encode(b"ada:s3cret-pass").decode(), base64.b64encode(b"ada:s3cret-pass").decode()),
    ("Authorization: Bearer abcdefgh12345678", "abcdefgh"),
    ("authorization=Key abcdefghijkl", "abcdefghijkl"),
    ("Set-Cookie: session=abcdefghijkl; Path=/", "abcdefghijkl"),
    ("1764000000.ada." + "aB3_" * 10 + "xyz", "aB3_aB3_"),
    ("v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=", "K5oZfzN9"),
    ("https://x.r2.cloudflarestorage.com/k?X-Amz-Date=1&X-Amz-Signature=abcdef0123456789", "abcdef0123456789"),
    ("https://x/k?X-Amz-Credential=AKID%2F2026&X-Amz-Expires=60", "AKID"),
    ("https://d.cloudfront.net/f.tar?Expires=1&Signature=a~b-c_d&Key-Pair-Id=APKAEXAMPLE", "a~b-c_d"),
    ("https://d.cloudfront.net/f.tar?Expires=1&Policy=eyJTdGF0ZW1lbnQi&x=1", "eyJTdGF0"),
    ("https://a.blob.core.windows.net/c/f?sv=2024-01-01&sr=b&sig=aB%2BcD%3D", "aB%2BcD"),
    ("https://a.blob.core.windows.net/c/f?sig=aBcD&sv=2024", "aBcD"),
    ("next=https%3A%2F%2Fx%2Fk%3FX-Amz-Signature%3Dabcdef0123456789%26y%3D1", "abcdef0123456789"),
    (r"https:\/\/x\/k?a=1\u0026X-Amz-Signature=abcdef0123456789", "abcdef0123456789"),
    ("http://127.0.0.1:8000/storage/z.zip?method=GET&expires=1&signature=0123456789abcdef", "0123456789abcdef"),
    ("http://127.0.0.1:8000/v1/trainings/1/events?ticket=1764000000.ada.xyz", "ada.xyz"),
    ("postgresql://gateway:s3cretpass@127.0.0.1/fluxline", "s3cretpass"),
    ("https://discord.com/api/webhooks/1234567890/aBcD_eFgH-iJ", "aBcD_eFgH"),
    ("https://hooks.slack.com/services/T000/B000/XXXXXXXX", "T000/B000"),
    ("https://api.telegram.org/bot123456:AAbbCCddEEffGGhhIIjjKKllMM/sendMessage", "AAbbCCdd"),
    ("ghp_" + "aB3d" * 9, "aB3daB3d"),
    ("xoxb-1234567890-abcdef", "1234567890-abcdef"),
    ('{"hf_token": "short"}', "short"),
    ('{"password": "with \\" quote inside"}', "quote inside"),
    (r"{\"api_key\": \"nested\", \"b\": 1}", "nested"),
    ("REPLICATE_API_TOKEN=abcdefgh", "abcdefgh"),
    ("the api key: abcdefghijkl123456", "abcdefghijkl123456"),
]
CLEAN = [
    "",
    "4 of 6 photos are usable; image_003.jpg is truncated (https://huggingface.co/ada/model)",
    "Key westminster at dusk, Key West, key west-2024-photoshoot",
    "Token refreshed; the token expired; invalid token: expected 40 characters",
    "Basic photography of Bearer authentication, Basic Flux2024Style",
    "training 3f2b1c4d-0000-4000-8000-0123456789ab of key 3f2b1c4d-0000-4000-8000-0123456789ab",
    "sha256 " + "0123456789abcdef" * 4,
    f"commit {HEX40} of https://huggingface.co/ada/lora/commit/{HEX40}",
    "flux_lora_r8_alpha16.safetensors and hf_style_portrait.safetensors, fl_portrait_2024",
    "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight",
    "uploads/ada/" + "0123456789abcdef" * 4 + ".jpg",
    "https://api.example.com/v1/items?limit=5&cursor=abc&design=x",
    "max_tokens=512 and tokens: 4096; signature: missing",
    "flux_train_replicate:  54%|████ | 540/1000 [02:01<01:43, 4.4it/s, loss: 0.312]",
    "2026-11-25T07:36:57.583987+00:00 ADATOK TOK a photo of TOK, private session in Asia",
    "ostris/flux-dev-lora-trainer:26dce37af90b9d997eeb970d92e47de3064d46c300504ae376c75bef6a9022d2",
]


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> KnownSecrets:
    known = KnownSecrets()
    monkeypatch.setattr(redaction, "_known", known)
    return known


@pytest.mark.parametrize(("text", "secret"), SHAPED)
def test_what_looks_like_a_credential_is_taken_out(text: str, secret: str) -> None:
    shown = redact_text(text)
    assert REDACTED in shown
    assert secret not in shown
    assert redact_text(shown) == shown


@pytest.mark.parametrize(("text", "secret"), SHAPED)
@pytest.mark.parametrize("around", ["{}", "x\n{}\ny", '"{}"', "({})", "error:\t{}", "…{}…"])
def test_a_credential_is_found_wherever_it_stands(text: str, secret: str, around: str) -> None:
    body = json.dumps({"log": [around.format(text)]}).encode()
    escaped = json.dumps(secret)[1:-1].encode()
    assert secret not in redact_text(around.format(text))
    assert might_hold_secret(body)
    assert escaped not in redact_bytes(body)
    assert escaped not in redact_bytes(body[:-1])
    assert secret.encode() not in redact_bytes(around.format(text).encode())


@pytest.mark.parametrize("text", CLEAN)
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text
    body = json.dumps({"message": text}).encode()
    assert redact_bytes(body) == body
    assert redact_bytes(body[:-1]) == body[:-1]
    assert redact({"message": text}) == {"message": text}


def test_values_under_secret_names_are_taken_out_at_any_depth() -> None:
    data = {"input": [{"hf_token": "x", "steps": 10}], "password": 1, "name": "Ada", "max_tokens": 5, "has_token": True}
    clean = {"name": "Ada", "max_tokens": 5, "has_token": True}
    assert redact(data) == {"input": [{"hf_token": REDACTED, "steps": 10}], "password": REDACTED, **clean}


def test_a_secret_hidden_by_an_escape_or_another_encoding_is_found() -> None:
    escaped = b'{"a": "\\u0068f_abcdefghijklmnop"}'
    assert b"abcdefghijklmnop" not in redact_bytes(escaped)
    assert "abcdefghijklmnop" not in redact_bytes('{"a": "hf_abcdefghijklmnop"}'.encode("utf-16")).decode("utf-8")
    twice = b'{"a": "hf_abcdefghijklmnop", "a": "clean"}'
    assert b"abcdefghijklmnop" not in redact_bytes(twice)


def test_bytes_that_are_no_text_keep_all_but_the_secret() -> None:
    assert redact_bytes(b"\xff\xfe\x00 hf_abcdefghijklmnop \x80") == b"\xff\xfe\x00 [redacted] \x80"
    assert redact_bytes(b"\xff\xfe\x00\x80") == b"\xff\xfe\x00\x80"


def test_what_is_nested_too_deeply_to_look_at_is_left_out_of_a_value_and_kept_in_a_body() -> None:
    deep: Any = "hf_" + "Ab1" * 12
    for _ in range(300):
        deep = [deep]
    assert "hf_" not in str(redact(deep))
    body = redact_bytes(json.dumps(deep).encode())
    assert b"hf_" not in body
    assert body.startswith(b"[" * 300)


def test_json_that_is_too_deep_to_read_holds_no_secret_either() -> None:
    deep = b"[" * 5000 + b'"hf_abcdefghijklmnop"' + b"]" * 5000
    assert b"abcdefghijklmnop" not in redact_bytes(deep)


class Inner(BaseModel):
    key: SecretStr


class Settings(BaseModel):
    token: SecretStr
    inner: list[Inner]
    database_url: SecretStr
    nats_url: str
    short: SecretStr
    name: str


def test_what_a_service_is_configured_with_is_taken_out_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", "from-the-environment")
    settings = Settings(
        token=SecretStr("plain words here"),
        inner=[Inner(key=SecretStr("innermost-secret"))],
        database_url=SecretStr("postgresql://gateway:word4word@127.0.0.1/fluxline"),
        nats_url="nats://ada:natsword1@127.0.0.1,nats://fluxline:fluxline@127.0.0.1",
        short=SecretStr("short"),
        name="not a secret",
    )
    know_settings(settings)
    for secret in ("plain words here", "innermost-secret", "word4word", "natsword1", "from-the-environment"):
        assert redact_text(f"x{secret}x") == f"x{REDACTED}x"
    for word in ("short", "not a secret", "fluxline", "postgresql"):
        assert redact_text(word) == word


_SECRETS = st.text(st.sampled_from(string.ascii_letters + string.digits + "+/=&?\"'\\ é_-.~"), min_size=12, max_size=40)
_TEXT = st.text(max_size=20)


def _forms(secret: str, before: str, after: str) -> list[str]:
    inside = before + secret + after
    encoded = base64.b64encode(inside.encode(errors="replace")).decode()
    url_safe = base64.urlsafe_b64encode(inside.encode(errors="replace")).decode()
    in_json = json.dumps(inside)
    forms = [inside, in_json, json.dumps(in_json), json.dumps(inside, ensure_ascii=False), encoded, url_safe]
    return [*forms, quote(inside, safe="", errors="replace"), quote_plus(inside, errors="replace")]


@given(_SECRETS, _TEXT, _TEXT, st.integers(0, 8))
def test_a_configured_secret_survives_in_no_encoding_at_no_depth(
    secret: str, before: str, after: str, depth: int
) -> None:
    know_secrets([secret])
    for form in _forms(secret, before, after):
        value: Any = form
        for level in range(depth):
            value = {f"level_{level}": value} if level % 2 else [value, 1, None]
        raw = json.dumps(value).encode()
        assert might_hold_secret(raw)
        for shown in (json.dumps(redact(value)), redact_bytes(raw).decode(), redact_text(form)):
            assert not _holds(shown, secret, before, after), (form, shown)


def _holds(shown: str, secret: str, before: str, after: str) -> bool:
    """Whether any encoding of the secret is in what is shown; of Base64, what no neighbour changes."""
    found = {secret, json.dumps(secret)[1:-1], quote(secret, safe=""), quote_plus(secret)}
    data, prefix = secret.encode(), before.encode(errors="replace")
    start, end = -(-len(prefix) * 4 // 3), (len(prefix) + len(data)) * 4 // 3
    found |= {encode(prefix + data).decode()[start:end] for encode in (base64.b64encode, base64.urlsafe_b64encode)}
    return any(form in shown for form in found)


_SAFE = st.one_of(
    st.uuids().map(str),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.datetimes().map(str),
    st.text(string.ascii_letters + " ,.é", max_size=60),
    st.integers().map(str),
)


@given(st.recursive(_SAFE, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abc"), inner)))
def test_clean_values_are_never_changed(value: Any) -> None:
    raw = json.dumps(value).encode()
    assert (redact(value), redact_bytes(raw)) == (value, raw)
