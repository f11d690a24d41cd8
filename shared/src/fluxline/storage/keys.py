"""Storage keys: plain relative paths, so that no key can leave its folder in any storage."""

import re

from fluxline.storage.errors import InvalidKey

MAX_KEY_CHARS = 512
MAX_PART_CHARS = 255
_PART = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{MAX_PART_CHARS - 1}}}")


def validate_key(key: str) -> str:
    """`key` itself; raises InvalidKey unless it is a relative path of plain names, none starting with a dot."""
    if len(key) > MAX_KEY_CHARS or ".." in key or not all(map(_PART.fullmatch, key.split("/"))):
        raise InvalidKey(key=key[:MAX_KEY_CHARS])
    return key


def validate_prefix(prefix: str) -> str:
    """`prefix` itself; raises InvalidKey unless it is empty or the beginning of valid keys."""
    if prefix:
        validate_key(prefix.removesuffix("/"))
    return prefix


def validate_range(offset: int, length: int | None, chunk_bytes: int) -> None:
    """Raises ValueError unless the numbers describe a part of a file."""
    if offset < 0 or (length is not None and length < 0) or chunk_bytes < 1:
        raise ValueError(f"no such range: offset={offset}, length={length}, chunk_bytes={chunk_bytes}")
