"""How fast the collector takes in events, beside the handler it replaces and the fastest there is.

    python bench/collector.py [--events 20000] [--rounds 3] [--json FILE]

Real servers, both of which sync to disk. In each round, one after the other: a FastStream handler with one INSERT per
event, one event at a time as FastStream and our other services do it; the same with a hundred on their way at once; the
whole collector (fetch, row, tables and roll-ups, acknowledgement); a COPY of finished rows without NATS. They take
turns, so that a busy machine slows all of them; what counts are the ratios of a round.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import nats
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from nats.js import JetStreamContext

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("tests", "services/debug-collector/tests")]
import million  # noqa: E402  # the folders of the tests are on no path

from fluxline.contracts.catalog import COLLECTOR, EVENTS_STREAM, Consumer  # noqa: E402
from fluxline.postgres.migrate import migrate  # noqa: E402
from fluxline.postgres.pool import Database  # noqa: E402
from fluxline.runtime.batches import consume_batches  # noqa: E402
from fluxline.runtime.bus import Bus  # noqa: E402
from fluxline.runtime.envelope import Received, received_from  # noqa: E402
from fluxline.runtime.provision import consumer_config, provision  # noqa: E402
from fluxline.runtime.telemetry import Metrics, make_tracer_provider  # noqa: E402
from fluxline_collector.metrics import CollectorMetrics  # noqa: E402
from fluxline_collector.rebuild import stream_from_first  # noqa: E402
from fluxline_collector.record import Record, record_of  # noqa: E402
from fluxline_collector.store import EventStore  # noqa: E402
from processes import temporary_home  # noqa: E402
from servers import NatsServer, PostgresServer, nats_server  # noqa: E402

COLUMNS = [field.name for field in fields(Record)]
PLACES = ", ".join(f"${place}" for place in range(1, len(COLUMNS) + 1))
INSERT = f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({PLACES}) ON CONFLICT DO NOTHING"  # noqa: S608
SHARE_OF_PER_EVENT = 10
"""The slow ones get so much less to do."""
PUBLISHED_AT_ONCE = 500


class DurablePostgres(PostgresServer):
    """With what the tests do without."""

    def __init__(self, home: Path, user: str | None) -> None:
        super().__init__(home, user)
        self._command = [part.replace("fsync=off", "fsync=on") for part in self._command]
        self._command = [part.replace("full_page_writes=off", "full_page_writes=on") for part in self._command]


@dataclass
class Bench:
    """Two servers, and a stream of `events` that every round reads from its first message."""

    nats: NatsServer
    database: Database
    jetstream: JetStreamContext
    events: int

    async def collector(self) -> float:
        """Events per second of the whole collector."""
        consumer = await self._durable("whole")
        bus = Bus("bench", self.nats.url, make_tracer_provider("bench", None))
        await bus.broker.connect()
        await bus.broker.start()
        store = EventStore(self.database, CollectorMetrics(Metrics().registry))

        async def handle(batch: list[Received]) -> None:
            await store.store(batch)
            if store.metrics.stored._value.get() >= self.events:
                bus.stopping = True

        began = time.perf_counter()
        await consume_batches(bus, consumer, handle)
        took = time.perf_counter() - began
        await bus.broker.stop()
        await self._check(self.events)
        return self.events / took

    async def per_event(self, at_once: int) -> float:
        """Events per second of a handler that stores each event by itself, `at_once` being fetched together."""
        wanted = max(1, self.events // SHARE_OF_PER_EVENT)
        consumer = await self._durable("single")
        broker = NatsBroker(self.nats.url, apply_types=False, logger=None)
        done, handled = asyncio.Event(), 0

        @broker.subscriber(
            consumer.subjects[0],
            durable=consumer.durable,
            stream=JStream(EVENTS_STREAM.name, declare=False),
            pull_sub=PullSub(batch_size=at_once, timeout=5),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            decoder=_whole_message,
        )
        async def on_event(message: NatsMessage) -> None:
            nonlocal handled
            await self.database.pool.execute(INSERT, *astuple(record_of(received_from(message.raw_message))))
            await message.ack()
            handled += 1
            if handled == wanted:
                done.set()

        began = time.perf_counter()
        await broker.start()
        await done.wait()
        took = time.perf_counter() - began
        await broker.stop()
        return wanted / took

    async def copy(self) -> float:
        """Rows per second of a COPY, rows being there already."""
        rows = [
            tuple(getattr(record_of(message), name) for name in COLUMNS)
            async for batch in stream_from_first(self.jetstream)
            for message in batch
        ]
        began = time.perf_counter()
        async with self.database.pool.acquire() as connection:
            await connection.copy_records_to_table("events", records=rows, columns=COLUMNS)
        took = time.perf_counter() - began
        await self._check(self.events)
        return len(rows) / took

    async def empty(self) -> None:
        """Make the tables empty for the next one."""
        await self.database.pool.execute("TRUNCATE events, jobs, attempts")

    async def _durable(self, purpose: str) -> Consumer:
        """A consumer like the collector's own, from the first message on."""
        consumer = replace(COLLECTOR, durable=f"{purpose}-{time.monotonic_ns()}")
        await self.jetstream.add_consumer(EVENTS_STREAM.name, config=consumer_config(consumer))
        return consumer

    async def _check(self, wanted: int) -> None:
        stored = await self.database.pool.fetchval("SELECT count(*) FROM events")
        if stored != wanted:
            raise RuntimeError(f"{stored} rows instead of {wanted}")


async def _whole_message(message: NatsMessage) -> NatsMessage:
    """Reading is ours, as in the runtime."""
    return message


@asynccontextmanager
async def bench_of(events: int) -> AsyncIterator[Bench]:
    """The servers, with the history of `million` published."""
    with (
        nats_server() as nats_process,
        temporary_home("postgres", owner=_user()) as home,
        DurablePostgres(home, _user()) as postgres,
    ):
        url = postgres.create_database()
        await migrate(url, "fluxline_collector")
        await provision(nats_process.url)
        database = Database(url, "collector")
        await database.open()
        client = await nats.connect(nats_process.url)
        await _publish(client.jetstream(), events)
        yield Bench(nats_process, database, client.jetstream(), events)
        await client.close()
        await database.close()


def _user() -> str | None:
    return "nobody" if os.geteuid() == 0 else None


async def _publish(jetstream: JetStreamContext, events: int) -> None:
    rows = million.rows(million.history(events), datetime(2026, 1, 1, tzinfo=UTC))
    subject, headers, body = (million.COLUMNS.index(name) for name in ("subject", "headers", "body"))
    waiting = []
    for row in rows:
        sent = jetstream.publish(row[subject], row[body], headers=json.loads(row[headers]), timeout=60)
        waiting.append(asyncio.ensure_future(sent))
        if len(waiting) == PUBLISHED_AT_ONCE:
            await asyncio.gather(*waiting)
            waiting.clear()
    await asyncio.gather(*waiting)


async def measure(events: int, rounds: int) -> dict[str, list[float]]:
    """Events per second of each, by round."""
    async with bench_of(events) as bench:
        ways: dict[str, Callable[[], Awaitable[float]]] = {
            "per event": partial(bench.per_event, 1),
            "100 at once": partial(bench.per_event, 100),
            "collector": bench.collector,
            "bare COPY": bench.copy,
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                await bench.empty()
                rates[name].append(await way())
        return rates


def table(rates: dict[str, list[float]]) -> str:
    """A line for each, with the median of its ratios to the handler per event."""
    lines = [f"{'':12} {'events/s':>10} {'of per event':>13}   rounds"]
    for name, values in rates.items():
        lines.append(
            f"{name:12} {statistics.median(values):10,.0f} {ratio(rates, name):12.1f}×"
            f"   {', '.join(f'{value:,.0f}' for value in values)}"
        )
    return "\n".join(lines)


def ratio(rates: dict[str, list[float]], name: str) -> float:
    """The median over the rounds of how many times faster it is than the handler per event."""
    return statistics.median(value / base for value, base in zip(rates[name], rates["per event"], strict=True))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rates = asyncio.run(measure(options.events, options.rounds))
    print(table(rates))
    if options.json:
        ratios = {name: ratio(rates, name) for name in rates}
        found = {"events": options.events, "events_per_second": rates, "times_per_event": ratios}
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
