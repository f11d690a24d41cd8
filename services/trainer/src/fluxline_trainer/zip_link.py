"""The archive's link, tried as an outsider would: what the provider cannot fetch must not be paid for."""

import asyncio
from datetime import timedelta

import httpx

from fluxline.contracts.errors import FluxlineError
from fluxline.storage import Storage
from fluxline_trainer.errors import ZipBroken, ZipDenied, ZipServerFailed, ZipSlow, ZipUnreachable

ZIP_MAGIC = b"PK\x03\x04"


class ZipLinks:
    """Signs links to archives and fetches their first bytes without any credentials of ours."""

    def __init__(self, storage: Storage, *, lifetime: timedelta, timeout_s: float = 20.0) -> None:
        self._storage = storage
        self._lifetime_s = int(lifetime.total_seconds())
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(timeout=timeout_s, follow_redirects=True)

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.aclose()

    async def checked(self, key: str, size_bytes: int) -> str:
        """A signed link that leads to a ZIP of that size; raises an error with its category otherwise."""
        url = self._storage.signed_url(key, expires_s=self._lifetime_s)
        try:
            async with asyncio.timeout(self._timeout_s), self._http.stream("GET", url) as response:
                await _check(response, size_bytes)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise ZipSlow(key=key) from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise ZipUnreachable(f"The archive's link cannot be fetched ({type(error).__name__})", key=key) from error
        return url


async def _check(response: httpx.Response, size_bytes: int) -> None:
    if not response.is_success:
        raise _refusal(response.status_code)
    stated = response.headers.get("content-length")
    if stated != str(size_bytes):
        raise ZipBroken("The archive's link leads to something of another size.", expected=size_bytes, found=stated)
    async for chunk in response.aiter_bytes(len(ZIP_MAGIC)):
        if chunk != ZIP_MAGIC:
            raise ZipBroken("The archive's link does not lead to a ZIP.")
        return
    raise ZipBroken("The archive's link leads to nothing.")


def _refusal(status: int) -> FluxlineError:
    message = f"The archive's link answered {status}"
    if status in (401, 403):
        return ZipDenied(message)
    if status in (408, 504):
        return ZipSlow(message)
    if status == 429 or status >= 500:
        return ZipServerFailed(message)
    return ZipBroken(message)
