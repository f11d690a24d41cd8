"""No other site makes a signed-in browser do something: what changes anything comes from our own pages."""

from collections.abc import Mapping
from urllib.parse import urlsplit

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def is_forged(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request that may change something does not come from a page of this origin.

    Browsers say where it comes from in Sec-Fetch-Site, or in Origin where they do not trust the connection.
    """
    if method in SAFE:
        return False
    if site := headers.get("sec-fetch-site"):
        return site != "same-origin"
    origin = headers.get("origin", "")
    return not origin or urlsplit(origin).netloc != headers.get("host")
