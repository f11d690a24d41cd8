"""Fetching a result from Replicate: bounded, complete, and with the token only to Replicate's own hosts."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from fluxline_trainer.errors import DiskFailed, DownloadDenied, DownloadRefused, ProviderUnreachable
from fluxline_trainer.replicate_problems import problem_of

OWN_DOMAINS: Final = ("replicate.com", "replicate.delivery")
_CHUNK_BYTES = 1 << 20
_DENIED = (401, 403)
_GONE = (400, 404, 410)


async def download(http: httpx.AsyncClient, url: str, target: Path, *, base_url: str, max_bytes: int) -> None:
    """Write what is at `url` to `target`, a new file; `http` holds the token.

    Raises DownloadRefused for an address that is not ours to fetch, a file that is gone or too large, or ends
    early; DownloadDenied when the token is refused; ProviderError by status for the rest.
    """
    own = _is_own(url, base_url)
    request = http.build_request("GET", url)
    if not own:
        request.headers.pop("authorization", None)
    response = await http.send(request, stream=True, follow_redirects=True)  # httpx drops the token on another host
    try:
        await _check(response, max_bytes, own=own)
        await _write(response, target, max_bytes)
    finally:
        await response.aclose()


def _is_own(url: str, base_url: str) -> bool:
    """Whether the host may see the token; raises DownloadRefused for anything but https elsewhere."""
    try:
        parts, base = urlsplit(url), urlsplit(base_url)
        host = (parts.hostname or "").lower()
        if (parts.scheme, parts.netloc) == (base.scheme, base.netloc):
            return True
    except ValueError as error:
        raise DownloadRefused("Replicate's address of the weights is malformed.") from error
    if parts.scheme != "https" or not host:
        raise DownloadRefused("Replicate's address of the weights is not https.", host=host)
    return any(host == domain or host.endswith(f".{domain}") for domain in OWN_DOMAINS)


async def _check(response: httpx.Response, max_bytes: int, *, own: bool) -> None:
    """Where no token was sent, a refusal means that the link has expired."""
    status = response.status_code
    if status in (*_GONE, *_DENIED):
        refused = DownloadDenied if own and status in _DENIED else DownloadRefused
        raise refused(f"The weights' address answered {status}", status=status)
    if not response.is_success:
        raise problem_of(response, b"")
    if int(response.headers.get("content-length") or 0) > max_bytes:
        raise DownloadRefused(f"The weights are larger than {max_bytes} bytes")


async def _write(response: httpx.Response, target: Path, max_bytes: int) -> None:
    """Writing blocks for a chunk at a time, as long as the page cache takes."""
    size = 0
    try:
        with target.open("xb") as file:
            async for chunk in response.aiter_bytes(_CHUNK_BYTES):
                size += len(chunk)
                if size > max_bytes:
                    raise DownloadRefused(f"The weights are larger than {max_bytes} bytes")
                file.write(chunk)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        raise DiskFailed(f"The weights cannot be written ({type(error).__name__})") from error
    stated = response.headers.get("content-length")
    if stated is not None and "content-encoding" not in response.headers and size != int(stated):
        raise ProviderUnreachable(f"The weights ended after {size} of {stated} bytes")
