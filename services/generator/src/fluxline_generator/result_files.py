"""From a provider's link to a file."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx

from fluxline_generator.accounts import Account
from fluxline_generator.errors import RunLost
from fluxline_generator.refusals import connection_errors, download_error

MAX_IMAGE_BYTES: Final = 64 * 1024 * 1024


async def fetch(
    http: httpx.AsyncClient,
    account: Account,
    url: str,
    target: Path,
    timeout_s: float,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Copy one result to a file; raises RunLost when it is gone or too large, ProviderError otherwise."""
    with connection_errors(account):
        async with asyncio.timeout(timeout_s), http.stream("GET", url, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                raise download_error(account, response)
            with target.open("wb") as file:
                async for chunk in response.aiter_bytes():
                    file.write(chunk)
                    if file.tell() > MAX_IMAGE_BYTES:
                        raise RunLost(f"The image at {account.label} has more than {MAX_IMAGE_BYTES} bytes")
