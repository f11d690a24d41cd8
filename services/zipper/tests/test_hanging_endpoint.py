"""An endpoint for spans that takes the connection and never answers holds up neither the work nor the end."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from nats.js import JetStreamContext

from fluxline.contracts.events import StageFailed
from fluxline.runtime.envelope import body_of, headers_of
from otlp import OtlpReceiver
from polling import poll_until
from servers import NatsServer
from streams import events_of, requested

CALLER = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}


async def test_a_service_works_and_stops_whatever_becomes_of_its_spans(
    nats: NatsServer, jetstream: JetStreamContext, tmp_path: Path
) -> None:
    with OtlpReceiver() as otlp:
        otlp.behaviour = "hang"
        env = os.environ | {
            "NATS_URL": nats.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
            "STORAGE_DIR": str(tmp_path),
            "STORAGE_PUBLIC_URL": "http://127.0.0.1:9",
            "STORAGE_SECRET": "0" * 64,
            "ZIPPER_HTTP_PORT": "0",
        }
        service = await asyncio.create_subprocess_exec(sys.executable, "-m", "fluxline_zipper", env=env)
        for _ in range(3):
            event = requested()
            await jetstream.publish(event.subject, body_of(event), headers=headers_of(event, "gateway") | CALLER)
        await poll_until(lambda: _failed(jetstream, 3), timeout_s=30)
        await poll_until(lambda: otlp.requests, timeout_s=10)
        service.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert await asyncio.wait_for(service.wait(), 20) == 0
        assert time.monotonic() - begun < 10
        assert not otlp.spans


async def _failed(jetstream: JetStreamContext, count: int) -> bool:
    """The photos are in no storage, which is told of each training."""
    return len(await events_of(jetstream, StageFailed)) == count
