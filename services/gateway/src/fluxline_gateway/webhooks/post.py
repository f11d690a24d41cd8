"""One signed request to a receiver: to an address that was looked at, followed nowhere else, read only a little.

The address is looked up once and connected to as it was found, so that a name cannot lead elsewhere between check and
use; TLS and `Host` keep the name. Nothing of the request is taken from the environment, and no trace leaves the house.
"""

import asyncio
import ssl
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import httpx
from standardwebhooks import Webhook

from fluxline.runtime.redaction import redact_text
from fluxline_gateway.webhooks.schedule import Attempt, Outcome, retry_after_s
from fluxline_gateway.webhooks.urls import (
    AddressRefused,
    Resolver,
    UrlRefused,
    is_exempt,
    public_https_url,
    resolve_public,
)

TOTAL_S: Final = 15.0
CONNECT_S: Final = 5.0
ANSWER_S: Final = 3.0
"""For the beginning of the answer's body, once its status is known: the status alone decides."""
MAX_ANSWER_BYTES: Final = 4096
SHOWN_CHARS: Final = 500
MAX_ADDRESSES: Final = 3
_ONE = httpx.Limits(max_connections=1, max_keepalive_connections=0)
_TIMEOUTS = httpx.Timeout(TOTAL_S, connect=CONNECT_S).as_dict()


class Poster:
    """Sends webhooks. `exempt` are the origins that may be private or without TLS; `total_s` is for one attempt."""

    def __init__(
        self,
        exempt: Collection[str] = (),
        *,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
        total_s: float = TOTAL_S,
    ) -> None:
        self.exempt = frozenset(exempt)
        self.resolver = resolver
        self.ssl_context = ssl_context or httpx.create_ssl_context(trust_env=False)
        self.total_s = total_s

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
        """Send `body` and say what came of it; raises nothing that a receiver or its address could cause."""
        began = time.monotonic()

        def failed(outcome: Outcome, error: str) -> Attempt:
            return Attempt(outcome, _elapsed_ms(began), error=error)

        try:
            async with asyncio.timeout(self.total_s):
                response, answer = await self._post(httpx.URL(url), body, headers)
        except UrlRefused as error:
            return failed("refused", f"The URL {error}.")
        except AddressRefused as error:
            return failed("refused", str(error))
        except (TimeoutError, httpx.TimeoutException):
            return failed("timeout", f"The receiver did not answer within {self.total_s:g} s.")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            return failed("unreachable", _reason(error))
        return _attempt(response, answer, _elapsed_ms(began))

    async def _post(self, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> tuple[httpx.Response, bytes]:
        failure: httpx.TransportError | None = None
        for address in await self._addresses(url):
            try:
                return await self._post_to(address, url, body, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure or httpx.ConnectError("no address")

    async def _addresses(self, url: httpx.URL) -> list[str]:
        """Where to connect to; a name only where the operator has exempted it. Raises UrlRefused, AddressRefused."""
        if is_exempt(str(url), self.exempt):
            return [url.host]
        public_https_url(str(url))
        found = await resolve_public(url.raw_host.decode(), resolver=self.resolver)
        return [str(address) for address in found[:MAX_ADDRESSES]]

    async def _post_to(
        self, address: str, url: httpx.URL, body: bytes, headers: Mapping[str, str]
    ) -> tuple[httpx.Response, bytes]:
        """The answer's head, and the beginning of its body."""
        name = url.raw_host.decode().removesuffix(".")
        request = httpx.Request(
            "POST",
            url.copy_with(host=address),
            headers={"Host": url.netloc.decode(), **headers},
            content=body,
            extensions={"timeout": _TIMEOUTS, "sni_hostname": name},
        )
        async with httpx.AsyncHTTPTransport(verify=self.ssl_context, trust_env=False, limits=_ONE) as transport:
            response = await transport.handle_async_request(request)
            try:
                return response, await _beginning(response)
            finally:
                await response.aclose()


def signed_headers(delivery_id: UUID, payload: str, secrets: Collection[str], at: datetime) -> dict[str, str]:
    """The headers of a delivery sent now, `at` in UTC, with one signature for each secret (Standard Webhooks 1.0)."""
    signatures = [Webhook(secret).sign(str(delivery_id), at, payload) for secret in secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": "fluxline-webhooks/1",
        "Accept-Encoding": "identity",
        "webhook-id": str(delivery_id),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


async def _beginning(response: httpx.Response) -> bytes:
    """What of the body comes soon, up to 4 KiB: a receiver that has said 2xx has it, however its body ends."""
    found = b""
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(ANSWER_S):
            async for part in response.aiter_raw():
                found += part[: MAX_ANSWER_BYTES - len(found)]
                if len(found) >= MAX_ANSWER_BYTES:
                    break
    return found


def _attempt(response: httpx.Response, answer: bytes, duration_ms: int) -> Attempt:
    text = redact_text(answer.decode(errors="replace").replace("\0", "\ufffd"))[:SHOWN_CHARS]
    return Attempt(
        "delivered" if response.is_success else "answered",
        duration_ms,
        status_code=response.status_code,
        error=None if response.is_success else _complaint(response.status_code),
        answer=text or None,
        retry_after_s=retry_after_s(response.headers.get("retry-after"), datetime.now(UTC)),
    )


def _complaint(status_code: int) -> str:
    if 300 <= status_code < 400:
        return f"The receiver answered {status_code}: redirects are not followed."
    if status_code == 410:
        return "The receiver answered 410: it wants this no more, so it is not tried again."
    return f"The receiver answered {status_code}."


def _reason(error: BaseException) -> str:
    """Why there is no answer, by the error's type and never with what was sent."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The receiver's certificate is not valid: {cause.verify_message}."
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or 'no reason given'})."
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError | OSError):
        return "The receiver takes no connection."
    return f"The receiver broke the connection or answered no HTTP ({type(error).__name__})."


def _elapsed_ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
