"""What telemetry costs a message's hop: ours with every span and with one trace in a hundred, and FastStream's own.

    python bench/telemetry.py [--messages 4000] [--rounds 5] [--json FILE]

A hop is a message from the stream through the runtime (decoding, heartbeat, deadline, acknowledgement) into a handler
that does nothing, and the event that it returns into the stream, confirmed. Real NATS, an OTLP endpoint that takes
everything, each in a process of its own. In each round every way takes its turn, in a new process, so that a busy
machine slows all of them; what counts are the ratios of a round, in CPU time of the process beside its wall time.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

import nats
from faststream.nats.opentelemetry import NatsTelemetryMiddleware

sys.path[:0] = [str(Path(__file__).parents[1] / "tests")]

from fluxline.contracts.catalog import EVENTS_STREAM, Consumer  # noqa: E402  # the folder of the tests is on no path
from fluxline.contracts.events import TrainingRequested, ZipCreated  # noqa: E402
from fluxline.runtime.bus import Bus  # noqa: E402
from fluxline.runtime.envelope import body_of, headers_of  # noqa: E402
from fluxline.runtime.handlers import Delivery, Handlers  # noqa: E402
from fluxline.runtime.message_metrics import MessageMetrics  # noqa: E402
from fluxline.runtime.message_spans import MessageSpans  # noqa: E402
from fluxline.runtime.metrics import Metrics  # noqa: E402
from fluxline.runtime.provision import consumer_config, provision  # noqa: E402
from fluxline.runtime.subscription import Subscription  # noqa: E402
from fluxline.runtime.telemetry import make_exporter, make_tracer_provider  # noqa: E402
from otlp import OtlpReceiver  # noqa: E402
from servers import nats_server  # noqa: E402
from streams import requested  # noqa: E402

OFF, KEPT, SAMPLED, FASTSTREAM = "off", "every span", "one trace in 100", "FastStream's, every span"
WAYS = (OFF, KEPT, SAMPLED, FASTSTREAM)
SHARE = 100
WARM_UP = 300
MEMORY = Path("/dev/shm")  # noqa: S108  # syncing to disk, which is not what is measured, takes no time there
AT_ONCE = 250
CONSUMER = Consumer("bench", (TrainingRequested.subject,), batch=64)
Figures = dict[str, float]


class NoMetrics(MessageMetrics):
    """Observes nothing."""

    def begin(self, *_: Any) -> None:
        """Nothing."""

    def end(self, *_: Any) -> None:
        """Nothing."""


class NoSpans(MessageSpans):
    """Makes none."""

    def publishing(self, *_: Any) -> AbstractContextManager[None]:
        """Nothing around the publishing."""
        return nullcontext()

    def processing(self, *_: Any) -> AbstractContextManager[Any]:
        """Nothing around the handler."""
        return nullcontext(_Nobody())


class _Nobody:
    def set_attribute(self, *_: Any) -> None:
        """Nothing."""


async def fill(url: str, way: str, messages: int) -> None:
    """The stream with that many requests and nothing else, and its consumer."""
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.purge_stream(EVENTS_STREAM.name)
    for first in range(0, messages, AT_ONCE):
        numbers = range(first, min(messages, first + AT_ONCE))
        await asyncio.gather(*(_publish(jetstream, way != SAMPLED or number % SHARE == 0) for number in numbers))
    await jetstream.add_consumer(EVENTS_STREAM.name, consumer_config(CONSUMER))
    await client.close()


async def _publish(jetstream: Any, kept: bool) -> None:
    event = requested(uuid4())
    trace = {"traceparent": f"00-{uuid4().hex}-{uuid4().hex[:16]}-{'01' if kept else '00'}"}
    await jetstream.publish(event.subject, body_of(event), headers=headers_of(event, "gateway") | trace)


async def hops(way: str, url: str, otlp: str, messages: int) -> Figures:
    """Handle that many messages in this process; microseconds of a message, by the wall and by the CPU."""
    provider = make_tracer_provider("bench", None if way == OFF else otlp)
    make_exporter(otlp).export([])  # the first connection of a process is none of a hop's costs
    bus, metrics, clock = Bus("bench", url, provider), Metrics("bench"), _Clock(messages)
    if way in (OFF, FASTSTREAM):
        bus.spans, metrics.__dict__["messages"] = NoSpans(provider), NoMetrics()
    if way == FASTSTREAM:
        bus.broker.add_middleware(NatsTelemetryMiddleware(tracer_provider=provider))
    handlers = Handlers(CONSUMER)

    @handlers.on(TrainingRequested)
    async def on_training_requested(event: TrainingRequested, delivery: Delivery) -> ZipCreated:
        clock.tick()
        facts = event.job_facts()
        return ZipCreated.caused_by(event, **facts, zip_key="zips/x.zip", size_bytes=1, sha256="0" * 64, image_count=5)

    Subscription(bus, handlers, metrics).register()
    await bus.broker.connect()
    await bus.broker.start()
    await clock.done.wait()
    bus.stopping = True
    await bus.broker.stop()
    provider.shutdown()
    return clock.result()


class _Clock:
    """From the end of the warm-up to the last message."""

    def __init__(self, messages: int) -> None:
        self.left = messages
        self.messages = messages - WARM_UP
        self.done = asyncio.Event()

    def tick(self) -> None:
        """Another message."""
        self.left -= 1
        if self.left == self.messages:
            self.wall, self.cpu = time.perf_counter(), time.process_time()
        if self.left == 0:
            self.ended = time.perf_counter()
            self.done.set()

    def result(self) -> Figures:
        """Microseconds of a message; the CPU's include what is exported at the end."""
        wall, cpu = self.ended - self.wall, time.process_time() - self.cpu
        return {"wall": wall / self.messages * 1e6, "cpu": cpu / self.messages * 1e6}


def one_round(url: str, otlp: str, messages: int) -> dict[str, Figures]:
    """Every way once."""
    figures = {}
    for way in WAYS:
        asyncio.run(fill(url, way, messages))
        child = [sys.executable, __file__, "--child", way, url, otlp, "--messages", str(messages)]
        done = subprocess.run(child, capture_output=True, text=True, timeout=300, check=True)
        figures[way] = json.loads(done.stdout.splitlines()[-1])
    return figures


def report(rounds: list[dict[str, Figures]]) -> dict[str, Any]:
    """Medians over the rounds: microseconds, and the share of throughput that each way costs."""
    summary: dict[str, Any] = {}
    for way in WAYS:
        summary[way] = {
            kind: {
                "us": round(statistics.median(figures[way][kind] for figures in rounds), 1),
                "cost": round(1 - statistics.median(figures[OFF][kind] / figures[way][kind] for figures in rounds), 3),
            }
            for kind in ("wall", "cpu")
        }
    return summary


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(asyncio.run(hops(*options.child, options.messages))))
        return
    if MEMORY.is_dir():
        tempfile.tempdir = str(MEMORY)
    with nats_server() as server, OtlpReceiver(keep=False) as otlp:
        asyncio.run(provision(server.url))
        rounds = [one_round(server.url, otlp.url, options.messages) for _ in range(options.rounds)]
    summary = report(rounds)
    print(f"{'':28}{'µs':>8}{'cost':>8}{'CPU µs':>10}{'cost':>8}")
    for way, found in summary.items():
        wall, cpu = found["wall"], found["cpu"]
        print(f"{way:28}{wall['us']:8.0f}{wall['cost']:8.0%}{cpu['us']:10.0f}{cpu['cost']:8.0%}")
    if options.json:
        options.json.write_text(json.dumps({"rounds": rounds, "summary": summary}, indent=1))


if __name__ == "__main__":
    main()
