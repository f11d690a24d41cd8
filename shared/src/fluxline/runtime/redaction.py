"""The one place where secrets are taken out of text and of structured data, by key and by shape."""

import re
from collections.abc import Mapping
from typing import Any, Final

REDACTED: Final = "[redacted]"
_SECRET_KEYS = re.compile(r"token|secret|password|passwd|authorization|api[_-]?key|signature|credential|cookie", re.I)
_SECRET_TEXT = re.compile(
    r"""
    \b(?:r8|hf|tgp|fl|whsec)_[A-Za-z0-9+/=_-]{8,}            # provider tokens, our keys, webhook secrets
    | (?<=[?&])[^=&\s'"]*(?:signature|credential|security-token|token|ticket|expires)[^=&\s]*=[^&\s'"]+
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)                           # user:password in a URL
    | \b(?:Bearer|Token|Key)\s+[A-Za-z0-9._~+/=-]{8,}
    """,
    re.I | re.X,
)


def redact_text(text: str) -> str:
    """`text` without anything that looks like a credential."""
    return _SECRET_TEXT.sub(REDACTED, text)


def redact(value: Any, *, key: str = "") -> Any:
    """`value` (text, mapping, sequence or scalar) without secrets; the shape stays."""
    if key and _SECRET_KEYS.search(key) and value is not None:
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {str(k): redact(v, key=str(k)) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return value
