"""Results of fal and Together: public links, fetched without any key."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from fluxline_generator.errors import ProviderError, ProviderTimeout, ProviderUnreachable, RunLost
from fluxline_generator.replicate_errors import download_error

MAX_IMAGE_BYTES: Final = 64 * 1024 * 1024
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@contextmanager
def connection_errors(provider: str) -> Iterator[None]:
    """What the HTTP client raises, as ours. A request that left may have had its effect: `ambiguous`."""
    try:
        yield
    except (httpx.TimeoutException, TimeoutError) as error:
        said = f"{provider} did not answer in time ({type(error).__name__})"
        raise ProviderTimeout(said, ambiguous=not isinstance(error, _NEVER_SENT)) from error
    except httpx.HTTPError as error:
        said = f"The connection to {provider} failed ({type(error).__name__})"
        hint = f"It is tried again by itself; check {provider.upper()}_BASE_URL and the network if it lasts."
        raise ProviderUnreachable(said, ambiguous=not isinstance(error, _NEVER_SENT), hint=hint) from error
    except (httpx.InvalidURL, ValueError) as error:
        raise ProviderError(f"{provider} gave an answer that cannot be read", ambiguous=True) from error


async def fetch(http: httpx.AsyncClient, provider: str, url: str, target: Path, timeout_s: float) -> None:
    """Copy one result to a file; raises RunLost when it is gone or too large, ProviderError otherwise."""
    with connection_errors(provider):
        async with asyncio.timeout(timeout_s), http.stream("GET", url) as response:
            if response.status_code != httpx.codes.OK:
                raise download_error(response)
            with target.open("wb") as file:
                async for chunk in response.aiter_bytes():
                    file.write(chunk)
                    if file.tell() > MAX_IMAGE_BYTES:
                        raise RunLost(f"The provider's image has more than {MAX_IMAGE_BYTES} bytes")
