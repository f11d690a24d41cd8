"""A service's footing in JetStream: what it needs is there, as the catalog says, and safe; now and while it runs.

Making streams and consumers is provisioning's business. A service waits for it, puts back what a JetStream has lost
(never changing what is there), and ends when something it needs disappears, for nothing would tell it otherwise.
"""

import asyncio
from time import monotonic
from typing import ClassVar

import httpx
import nats.errors
import nats.js.errors
from nats.js.errors import NotFoundError

from fluxline.contracts.catalog import EVENTS_STREAM, Consumer, Stream
from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.contracts.permissions import inbox_prefix
from fluxline.runtime.bus import Bus
from fluxline.runtime.cancelation import raise_if_canceled
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.logs import get_logger
from fluxline.runtime.message_metrics import MessageMetrics
from fluxline.runtime.nats_tls import client_tls
from fluxline.runtime.provision import consumer_config, drift, provision, stream_config
from fluxline.runtime.settings import ServiceSettings

POLL_S = 0.5
WATCH_S = 1.5
MEND_AFTER_S = 3.0
"""How long what is missing is left to provisioning, which may be running just now."""
CALL_TIMEOUT_S = 2.0
OLDEST_SERVER = (2, 12)
"""The first NATS server with scheduled messages."""
_NOT_YET = (BrokerUnavailable, nats.errors.Error, nats.js.errors.Error, TimeoutError, httpx.HTTPError, ValueError)

log = get_logger(__name__)


class Gone(Exception):
    """A stream or consumer that this process reads from does not exist any more."""


class Unsafe(FluxlineError):
    """NATS would lose acknowledged messages in a power cut."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Set `sync_interval: always` in the jetstream block of every NATS server, or unset FLUXLINE_PRODUCTION."


class Provisioned:
    """The streams and consumers of one service, and whether they are as they have to be."""

    def __init__(self, bus: Bus, settings: ServiceSettings, messages: MessageMetrics | None = None) -> None:
        self._bus = bus
        self._messages = messages or MessageMetrics()
        self._settings = settings
        self.consumers: list[Consumer] = []

    async def wait(self) -> None:
        """Return once everything is there and equals the catalog. Raises `Unsafe` in production."""
        missing_since: float | None = None
        said = ""
        while True:
            raise_if_canceled()
            try:
                problem = await self._problem()
                missing_since = None
            except NotFoundError as error:
                problem, now = f"missing in JetStream ({error.description})", monotonic()
                missing_since = now if missing_since is None else missing_since
                if now - missing_since > MEND_AFTER_S:
                    await self._mend()
            except _NOT_YET as error:
                problem = str(error) or type(error).__name__
            if not problem:
                return
            if problem != said:
                log.warning("service.waiting_for_provisioning", problem=problem)
            said = problem
            await asyncio.sleep(POLL_S)

    async def check(self) -> None:
        """Readiness: every consumer is there; raises otherwise. What the server tells of them goes to the metrics."""
        for consumer in self.consumers:
            stream, durable = consumer.stream.name, consumer.durable
            info = await self._bus.jetstream.consumer_info(stream, durable, timeout=CALL_TIMEOUT_S)
            self._messages.show(durable, info)

    async def watch(self) -> None:
        """For ever; raises `Gone` when a consumer is missing twice in a row."""
        misses = 0
        while True:
            raise_if_canceled()
            await asyncio.sleep(WATCH_S)
            try:
                await self.check()
                misses = 0
            except NotFoundError as error:
                misses += 1
                if misses > 1:
                    raise Gone(f"a consumer of this service is gone ({error.description})") from error
            except _NOT_YET:
                misses = 0

    async def _problem(self) -> str:
        """What is not as it has to be, in words; empty when all is well. Raises NotFoundError for what is missing."""
        await self._require_server()
        different = [
            f"{name}: {', '.join(settings)}"
            for name, settings in [*await self._drift_of_streams(), *await self._drift_of_consumers()]
            if settings
        ]
        if different:
            return f"JetStream differs from the catalog ({'; '.join(different)}): run the provisioning of this version"
        return ""

    async def _drift_of_streams(self) -> list[tuple[str, list[str]]]:
        streams: dict[str, Stream] = {consumer.stream.name: consumer.stream for consumer in self.consumers}
        streams.setdefault(EVENTS_STREAM.name, EVENTS_STREAM)
        return [(name, await self._drift_of_stream(stream)) for name, stream in streams.items()]

    async def _drift_of_stream(self, stream: Stream) -> list[str]:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            info = await self._bus.jetstream.stream_info(stream.name)
        return drift(stream_config(stream, self._settings.nats_replicas), info.config)

    async def _drift_of_consumers(self) -> list[tuple[str, list[str]]]:
        jetstream = self._bus.jetstream
        found = [
            await jetstream.consumer_info(consumer.stream.name, consumer.durable, timeout=CALL_TIMEOUT_S)
            for consumer in self.consumers
        ]
        pairs = zip(self.consumers, found, strict=True)
        return [(consumer.durable, drift(consumer_config(consumer), info.config)) for consumer, info in pairs]

    async def _require_server(self) -> None:
        """A server that can do what we need, and in production one that keeps what it has acknowledged."""
        server = self._bus.broker.config.broker_config.connection_state.connection.connected_server_version
        if (server.major, server.minor) < OLDEST_SERVER:
            raise ValueError(f"NATS {server.major}.{server.minor} is too old: fluxline needs 2.12 or newer")
        if self._settings.production:
            for url in self._settings.nats_monitor_urls:
                await require_power_cut_safety(url)

    async def _mend(self) -> None:
        """Make what is missing, as provisioning would."""
        log.warning("service.mending_jetstream")
        try:
            await provision(
                self._settings.nats_url,
                tls=client_tls(self._settings.nats_ca_file),
                replicas=self._settings.nats_replicas,
                only_missing=True,
                inbox_prefix=inbox_prefix(self._bus.service),
            )
        except _NOT_YET as error:
            log.warning("service.mending_failed", error=type(error).__name__)


async def require_power_cut_safety(monitor_url: str) -> None:
    """Ask a server's monitoring (`/varz`) whether it syncs before it acknowledges; raises `Unsafe` if not.

    Without `sync_interval: always` a server acknowledges up to two minutes before the disk has it.
    """
    async with httpx.AsyncClient(timeout=CALL_TIMEOUT_S, trust_env=False) as http:
        answer = await http.get(f"{monitor_url.rstrip('/')}/varz")
    config = (answer.json().get("jetstream") or {}).get("config") or {}
    if config.get("sync_always") is not True:
        raise Unsafe(f"The NATS server at {monitor_url} does not sync before it acknowledges.")
