"""Sending through apprise: each call in a thread of its own with a deadline, its outcome in words without secrets."""

import asyncio
import hashlib
import hmac
import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from apprise import Apprise, NotifyFormat, NotifyType

from fluxline.contracts.alerts import Severity
from fluxline.runtime.redaction import know_secrets
from fluxline_collector.alerts.channel_urls import ChannelUrl, secret_parts, service_at
from fluxline_collector.alerts.wording import Message

DEADLINE_S: Final = 20.0
_STATUS: Final = re.compile(r"\berror=(\d{3})\b")
"""How apprise's services end the line that tells of an HTTP answer."""
_WORTH_ANOTHER_TRY: Final = (408, 425, 429)
_TYPES: Final[dict[Severity, NotifyType]] = {
    "info": NotifyType.INFO,
    "warning": NotifyType.WARNING,
    "critical": NotifyType.FAILURE,
}


@dataclass(frozen=True)
class Delivery:
    """Whether a channel took a message; why not, and whether that is `final` or worth another try."""

    ok: bool
    reason: str | None = None
    final: bool = False


class Channel:
    """One place that notices go to. `key` stays the same for the same address, and tells nothing of it."""

    def __init__(self, number: int, configured: ChannelUrl, secret: str, deadline_s: float = DEADLINE_S) -> None:
        url = configured.url.get_secret_value()
        know_secrets(secret_parts(url))
        self.name = f"{configured.schema_name} {number}"
        self.schema = configured.schema_name
        self.severities = configured.severities
        self.key = hmac.digest(secret.encode(), url.encode(), hashlib.sha256).hex()[:16]
        self._service = service_at(url)
        self._deadline_s = deadline_s
        self._hanging: threading.Event | None = None

    @property
    def busy(self) -> bool:
        """Whether a call that was given up has still not come back; another one would only wait like it."""
        return self._hanging is not None and not self._hanging.is_set()

    async def send(self, message: Message, severity: Severity) -> Delivery:
        """Send it, or say why not within the deadline."""
        if self.busy:
            return Delivery(False, "its last call has not come back yet")
        loop, ended = asyncio.get_running_loop(), threading.Event()
        answer: asyncio.Future[Delivery] = loop.create_future()

        def work() -> None:
            delivery = self._deliver(message, severity)
            ended.set()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_answer, answer, delivery)

        threading.Thread(target=work, name=f"alert-{self.schema}", daemon=True).start()
        self._hanging = ended
        try:
            async with asyncio.timeout(self._deadline_s):
                return await answer
        except TimeoutError:
            return Delivery(False, f"it did not answer within {self._deadline_s:g} s")

    def _deliver(self, message: Message, severity: Severity) -> Delivery:
        if self._service is None:
            return Delivery(False, "its address is not valid any more", final=True)
        try:
            result = Apprise(self._service).notify(
                title=message.title,
                body=message.body,
                notify_type=_TYPES[severity],
                body_format=NotifyFormat.MARKDOWN,
            )
        except Exception as error:  # services of others, in a thread: nobody else would hear of it
            return Delivery(False, f"apprise failed ({type(error).__name__})")
        with result:
            return Delivery(True) if result else _refusal([entry.message for entry in result.logs()])


def channels_of(configured: Iterable[ChannelUrl], secret: str) -> tuple[Channel, ...]:
    """The channels, in the order of their configuration; one that is configured twice is there once."""
    found = [Channel(number, one, secret) for number, one in enumerate(configured, start=1)]
    return tuple({channel.key: channel for channel in reversed(found)}.values())[::-1]


def _answer(future: asyncio.Future[Delivery], delivery: Delivery) -> None:
    if not future.done():
        future.set_result(delivery)


def _refusal(log: Iterable[str]) -> Delivery:
    """What apprise logged, as one of our own sentences: its own may hold what the other side said."""
    lines = list(log)
    statuses = [int(found[1]) for line in lines if (found := _STATUS.search(line))]
    if statuses:
        status = statuses[-1]
        final = 400 <= status < 500 and status not in _WORTH_ANOTHER_TRY
        return Delivery(False, f"it answered with the HTTP status {status}", final)
    if any("onnection error" in line for line in lines):
        return Delivery(False, "it cannot be reached, or does not answer")
    return Delivery(False, "it did not take the message; check its address")
