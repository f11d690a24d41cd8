"""Secrets never reach a log, a summary or an event."""

import pytest

from fluxline.runtime.redaction import REDACTED, redact, redact_text


@pytest.mark.parametrize(
    "text",
    [
        "r8_0123456789abcdefghij",
        "token hf_abcdefghijklmnopqrst refused",
        "https://x.r2.cloudflarestorage.com/k?X-Amz-Signature=abcdef0123456789&X-Amz-Date=1",
        "http://127.0.0.1:8000/storage/zips/a.zip?method=GET&expires=1&signature=0123456789abcdef",
        "postgresql://gateway:s3cretpass@127.0.0.1/fluxline",
        "Authorization: Bearer abcdefgh12345678",
    ],
)
def test_what_looks_like_a_credential_is_taken_out(text: str) -> None:
    shown = redact_text(text)
    assert REDACTED in shown
    for secret in ("0123456789abcdef", "abcdefghijkl", "s3cretpass", "abcdefgh12345678"):
        assert secret not in shown


def test_plain_text_stays_as_it_is() -> None:
    text = "4 of 6 photos are usable; image_003.jpg is truncated (https://huggingface.co/ada/model)"
    assert redact_text(text) == text


def test_values_under_secret_names_are_taken_out_at_any_depth() -> None:
    data = {"input": [{"hf_token": "x", "steps": 10}], "password": 1, "name": "Ada"}
    assert redact(data) == {"input": [{"hf_token": REDACTED, "steps": 10}], "password": REDACTED, "name": "Ada"}
