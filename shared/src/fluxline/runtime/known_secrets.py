"""The secrets that this process was configured with: wherever they appear, in the encodings they travel in."""

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pydantic import BaseModel, SecretStr

SHORTEST: Final = 8
"""Characters; what is shorter would also take out words that are no secret."""
ENVIRONMENT: Final = (
    *("REPLICATE_API_TOKEN", "HUGGINGFACE_API_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "TOGETHER_API_KEY"),
    *("FAL_KEY", "CLOUDFLARE_R2_ACCESS_KEY_ID", "CLOUDFLARE_R2_SECRET_ACCESS_KEY", "CLOUDFLARE_API_TOKEN"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "REPLICATE_WEBHOOK_SECRET"),
)
"""Variables of the providers whose values are secrets in every process that has them."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s,]*", re.I)
_PASSWORD = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_DATABASES = ("postgres://", "postgresql://", "nats://", "tls://")


class KnownSecrets:
    """Values to take out. Adding is rare; searching is what has to be quick."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._in_text: re.Pattern[str] | None = None
        self._in_bytes: re.Pattern[bytes] | None = None

    def add(self, values: Iterable[str]) -> None:
        """Know these too; those shorter than `SHORTEST` are left out."""
        new = {value for value in values if len(value) >= SHORTEST} - self._values
        if not new:
            return
        self._values |= new
        forms = sorted({form for value in self._values for form in forms_of(value)}, key=len, reverse=True)
        self._in_text = re.compile("|".join(map(re.escape, forms)))
        self._in_bytes = re.compile(self._in_text.pattern.encode(errors="surrogateescape"))

    def in_bytes(self, data: bytes) -> bool:
        """Whether one of them is in `data` as it is, or encoded."""
        return self._in_bytes is not None and self._in_bytes.search(data) is not None

    def replaced(self, text: str, by: str) -> str:
        """`text` with `by` instead of each of them."""
        return self._in_text.sub(by, text) if self._in_text else text


def secrets_of(settings: BaseModel) -> Iterator[str]:
    """Every secret in a settings object at any depth, and the passwords in its addresses."""
    for name in type(settings).model_fields:
        yield from _secrets_in(getattr(settings, name))


def secrets_of_environment() -> Iterator[str]:
    """The values of the variables in `ENVIRONMENT` that are set, and their halves where they have two."""
    for name in ENVIRONMENT:
        value = os.environ.get(name, "")
        yield value
        yield from (part for part in value.split(":") if ":" in value and len(part) > 2 * SHORTEST)


def forms_of(secret: str) -> set[str]:
    """The secret itself; in JSON once and twice; in a URL once and twice; in Base64 at each of three alignments."""
    in_json = {json.dumps(secret, ensure_ascii=plain)[1:-1] for plain in (True, False)}
    in_json |= {json.dumps(form)[1:-1] for form in in_json} | {form.replace("/", "\\/") for form in in_json}
    in_url = {quote(secret, safe="", errors="replace"), quote(secret, errors="replace"), quote_plus(secret)}
    in_url |= {quote(form, safe="") for form in in_url}
    in_url |= {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form) for form in in_url}
    return {secret, *in_json, *in_url, *_in_base64(secret.encode(errors="replace"))}


def _in_base64(secret: bytes) -> Iterator[str]:
    """What the encoding of any text with the secret in it has in common, whatever stands before and after."""
    for before in range(3):
        head, tail = -(-before * 8 // 6), (before + len(secret)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + secret).decode()[head:tail]


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        yield from _passwords_in(secret) if secret.startswith(_DATABASES) else [secret]
    elif isinstance(value, str):
        yield from _passwords_in(value)
    elif isinstance(value, BaseModel):
        yield from secrets_of(value)
    elif isinstance(value, Mapping):
        yield from _secrets_in(list(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _secrets_in(item)


def _passwords_in(text: str) -> Iterator[str]:
    """Passwords of URLs, except those that are a plain word: taking that out would hide ordinary text."""
    for url in _URL.findall(text):
        yield from (password for password in _PASSWORD.findall(url) if not password.isalpha())
