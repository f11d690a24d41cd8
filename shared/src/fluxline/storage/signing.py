"""Signed links of the local folder: who may do what with which file until when, in the link itself."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from fluxline.storage.errors import SignatureExpired, SignatureInvalid
from fluxline.storage.interface import Method

MAX_EXPIRES_S = 7 * 24 * 3600
MIN_SECRET_BYTES = 32
_SCHEME = "fluxline-storage-1"


class LinkSigner:
    """Makes and checks links: `{public_url}/storage/{key}?method=&expires=&filename=&signature=`.

    The signature is the hex HMAC-SHA256 (RFC 2104) over scheme, method, key, expiry (Unix seconds) and file
    name, one a line; only the file name, which comes last, may hold anything. A link for PUT has `size=` (bytes)
    in place of the file name.
    """

    def __init__(self, public_url: str, secret: bytes) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError(f"the signing secret needs at least {MIN_SECRET_BYTES} bytes")
        self._base = public_url.rstrip("/")
        self._secret = secret

    def link(self, key: str, method: Method, expires: int, terms: str | None) -> str:
        """The link to a valid key, until `expires` (Unix seconds); `terms` are the file name, or the size of a PUT."""
        last = (terms or "").encode(errors="replace").decode()  # no lone surrogates: they fit in no URL
        params = {"method": method, "expires": str(expires)} | ({_terms(method): last} if last else {})
        params["signature"] = self._signature(key, method, str(expires), last)
        return f"{self._base}/storage/{key}?{urlencode(params)}"

    def verify(self, key: str, method: str, params: Mapping[str, str], now: float) -> None:
        """Raises SignatureInvalid or SignatureExpired unless the link allows `method` on `key` at `now`."""
        expires = params.get("expires", "")
        expected = self._signature(key, method, expires, params.get(_terms(method), ""))
        given = params.get("signature", "")
        if not hmac.compare_digest(expected.encode(), given.encode(errors="replace")):
            raise SignatureInvalid(key=key, method=method)
        if now >= int(expires):  # a number, since we signed it
            raise SignatureExpired(key=key, expires=int(expires))

    def _signature(self, key: str, method: str, expires: str, terms: str) -> str:
        text = "\n".join((_SCHEME, method, key, expires, terms))
        return hmac.new(self._secret, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def validate_expiry(expires_s: int) -> int:
    """`expires_s` itself; raises ValueError unless it is 1 second to 7 days, what S3 allows."""
    if not 1 <= expires_s <= MAX_EXPIRES_S:
        raise ValueError(f"a signed link lives 1 to {MAX_EXPIRES_S} seconds, not {expires_s}")
    return expires_s


def validate_size(method: Method, size_bytes: int | None) -> int | None:
    """`size_bytes` itself; raises ValueError unless PUT has one that is not negative, and everything else none."""
    if (method == "PUT") != (size_bytes is not None) or (size_bytes or 0) < 0:
        raise ValueError(f"a link for PUT, and only for PUT, has a size: {method}, {size_bytes} bytes")
    return size_bytes


def _terms(method: str) -> str:
    return "size" if method == "PUT" else "filename"


def content_disposition(filename: str) -> str:
    """The header value that saves a download under any `filename`, whatever it holds (RFC 6266, RFC 8187)."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='', errors='replace')}"
