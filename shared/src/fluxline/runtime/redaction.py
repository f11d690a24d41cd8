"""The one place where secrets are taken out of text, bytes and structured data.

By name (`hf_token`), by shape (`secret_shapes`), and by value: what this process was configured with, in the encodings
it may appear in (`known_secrets`). What is clean comes back as it was.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from fluxline.runtime.known_secrets import KnownSecrets, secrets_of, secrets_of_environment
from fluxline.runtime.secret_shapes import (
    COUNTED,
    REDACTED,
    SECRET_NAME,
    may_match_bytes,
    without_shapes,
)

__all__ = ["REDACTED", "know_secrets", "know_settings", "might_hold_secret", "redact", "redact_bytes", "redact_text"]

MAX_DEPTH = 100
TOO_DEEP = "[nested too deeply]"
C = TypeVar("C")
_known = KnownSecrets()


_caches: list[Any] = []


def on_new_secrets(cache: C) -> C:
    """Have an `lru_cache` of redacted values forget them whenever another secret becomes known."""
    _caches.append(cache)
    return cache


def _know(secrets: Iterable[str]) -> None:
    _known.add(secrets)
    for cache in _caches:
        cache.cache_clear()


def know_settings(*settings: BaseModel) -> None:
    """Take out the secrets of these settings, and of the providers' variables, from now on in this process."""
    for item in settings:
        _know(secrets_of(item))
    _know(secrets_of_environment())


def know_secrets(values: Iterable[str]) -> None:
    """Take out these values from now on in this process; those under eight characters are left out."""
    _know(values)


def might_hold_secret(data: bytes) -> bool:
    """A cheap test of a message's body: False is certain, True asks for `redact` or `redact_bytes`."""
    return may_match_bytes(data) or _known.in_bytes(data)


def redact_text(text: str) -> str:
    """`text` without anything that is or looks like a credential."""
    text = _known.replaced(text, REDACTED)
    return without_shapes(text)


def redact_bytes(body: bytes) -> bytes:
    """A body without credentials, JSON or not; the same bytes where there is none in it."""
    if not might_hold_secret(body):
        return body
    try:
        parsed = json.loads(body)
        cleaned = redact(parsed)
        told = json.dumps(cleaned)
        is_changed = cleaned != parsed
    except (ValueError, RecursionError):
        return _redact_raw(body)
    return told.encode() if is_changed and TOO_DEEP not in told else _redact_raw(body)


def redact(value: Any, *, key: str = "") -> Any:
    """`value` (text, bytes, mapping, sequence or scalar) without secrets; the shape stays.

    In place of what is nested deeper than `MAX_DEPTH` stands `TOO_DEEP`.
    """
    return _redacted(value, key, MAX_DEPTH)


def _redacted(value: Any, key: str, depth: int) -> Any:
    if key and value is not None and SECRET_NAME.search(key) and not _is_harmless(key, value):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes):
        return redact_bytes(value)
    if not isinstance(value, Mapping | list | tuple):
        return value
    if not depth:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return {redact_text(str(k)): _redacted(v, str(k), depth - 1) for k, v in value.items()}
    return [_redacted(item, "", depth - 1) for item in value]


def _is_harmless(key: str, value: Any) -> bool:
    """A flag or a count is no secret, whatever it is of."""
    return isinstance(value, bool) or (isinstance(value, int | float) and COUNTED.search(key) is not None)


def _redact_raw(body: bytes) -> bytes:
    """As text, whatever it is: bytes that are no UTF-8 stay as they are."""
    text = body.decode(errors="surrogateescape")
    return redact_text(text).encode(errors="surrogateescape")
