"""How full the streams are, dead letters among them."""

from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from fluxline.contracts.catalog import STREAMS
from fluxline.runtime.bus import Bus

EVERY_S: Final = 5.0


class StreamSizes:
    """Two gauges a stream; every replica shows the same."""

    def __init__(self, bus: Bus, registry: CollectorRegistry) -> None:
        self._bus = bus
        self._messages = Gauge("fluxline_stream_messages", "Messages in the stream", ("stream",), registry=registry)
        self._bytes = Gauge("fluxline_stream_bytes", "Bytes of the stream", ("stream",), registry=registry)
        self._limit = Gauge(
            "fluxline_stream_limit_bytes", "Bytes above which its oldest go", ("stream",), registry=registry
        )
        for stream in STREAMS:
            self._messages.labels(stream.name)
            self._bytes.labels(stream.name)
            self._limit.labels(stream.name).set(stream.max_bytes)

    async def look(self) -> None:
        """Ask the server. Raises what nats-py raises, or `BrokerUnavailable`."""
        for stream in STREAMS:
            state = (await self._bus.jetstream.stream_info(stream.name)).state
            self._messages.labels(stream.name).set(state.messages)
            self._bytes.labels(stream.name).set(state.bytes)
