"""A service process: settings in, handlers bound, health served, drained on SIGTERM. One way for all of them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import uvicorn

from fluxline.contracts.catalog import Consumer
from fluxline.runtime.asgi import AsgiApp, Receive, Scope, Send
from fluxline.runtime.batches import BatchHandler, consume_batches
from fluxline.runtime.bus import Bus
from fluxline.runtime.draining import DrainingServer
from fluxline.runtime.handlers import Handlers
from fluxline.runtime.health import Check, Health, respond
from fluxline.runtime.log_records import LogQueue
from fluxline.runtime.log_shipping import LogShipper
from fluxline.runtime.logs import get_logger, setup_logs
from fluxline.runtime.loop_lag import measure_loop_lag
from fluxline.runtime.metrics import Metrics
from fluxline.runtime.nats_tls import client_tls
from fluxline.runtime.provisioned import Provisioned, Unsafe
from fluxline.runtime.redaction import know_settings
from fluxline.runtime.sampling import sampler_of
from fluxline.runtime.settings import EX_CONFIG, ServiceSettings
from fluxline.runtime.spans import use
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline.runtime.watchdog import watch_event_loop

Work = Callable[[], Awaitable[None]]

log = get_logger(__name__)


class Service:
    """Everything that is the same in every service. `lifespan` starts and stops it, `run` serves it."""

    def __init__(self, name: str, settings: ServiceSettings) -> None:
        know_settings(settings)
        logs = LogQueue() if settings.log_shipping else None
        setup_logs(name, settings.log_level, logs)
        self.name = name
        self.settings = settings
        self.metrics = Metrics(name)
        self.health = Health(self.metrics.registry)
        self.tracer_provider = make_tracer_provider(
            name,
            settings.otlp_endpoint,
            sampler=sampler_of(settings.trace_sampler, settings.trace_ratio),
            on_dropped=self.metrics.drop_spans,
        )
        use(self.tracer_provider)
        self.bus = Bus(
            name,
            settings.nats_url,
            self.tracer_provider,
            tls=client_tls(settings.nats_ca_file),
            graceful_timeout_s=settings.graceful_timeout_s,
            on_lost=_start_anew,
        )
        self._shipper = LogShipper(self.bus, logs, self.metrics.registry) if logs else None
        self._provisioned = Provisioned(self.bus, settings, self.metrics.messages)
        self.health.checks["nats"] = self._check_nats
        self.started = asyncio.Event()
        self.exit_status = 0
        self._before: list[Work] = []
        self._background: dict[str, Work] = {}
        self._draining: list[Callable[[], None]] = []
        self._closing: list[Work] = []

    def consume(self, handlers: Handlers) -> None:
        """Bind typed handlers to their durable consumer."""
        Subscription(self.bus, handlers, self.metrics).register()
        self._expect(handlers.consumer)

    def consume_batches(self, consumer: Consumer, handle: BatchHandler) -> None:
        """Bind a batch handler to its durable consumer."""
        self._expect(consumer)
        self.background(consumer.durable, partial(self._consume_batches, consumer, handle))

    def _expect(self, consumer: Consumer) -> None:
        self._provisioned.consumers.append(consumer)
        self.metrics.messages.announce(consumer)

    def background(self, name: str, work: Work) -> None:
        """Run `work` for the life of the process; should it end or raise, the process ends and starts anew."""
        self._background[name] = work

    def ready(self, name: str, check: Check) -> None:
        """Add a condition of readiness."""
        self.health.checks[name] = check

    def before_start(self, work: Work) -> None:
        """Run before anything is consumed (open a pool); waits and retries are the work's own."""
        self._before.append(work)

    def on_drain(self, end: Callable[[], None]) -> None:
        """Call `end` as soon as the process is to stop, so that what would run for ever (a live stream) ends."""
        self._draining.append(end)

    def on_close(self, work: Work) -> None:
        """Run after everything else has stopped (close a pool)."""
        self._closing.append(work)

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """HTTP is up at once; what the service needs is waited for behind it, so the start order does not matter."""
        stop_watching = watch_event_loop()
        work = asyncio.create_task(self._supervised())
        try:
            yield
        finally:
            await self._stop(work)
            stop_watching()

    async def _supervised(self) -> None:
        """All the work of the process; should a part of it end, the process ends and its supervisor starts it anew."""
        try:
            for work in self._before:
                await work()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._join_nats())
                group.create_task(measure_loop_lag(self.metrics.loop_lag))
                if self._shipper:
                    group.create_task(self._shipper.run())
                for name, work in self._background.items():
                    group.create_task(self._endless(name, work))
        except* Unsafe as refusals:
            [refusal, *_] = refusals.exceptions
            log.critical("service.refuses_to_start", reason=str(refusal), remedy=Unsafe.hint)
            self._end(EX_CONFIG)
        except* Exception:
            log.exception("service.failed")
            self._end(1)

    def _end(self, exit_status: int) -> None:
        """Stop as on SIGTERM, but tell the supervisor that it was not meant."""
        self.exit_status = self.exit_status or exit_status
        os.kill(os.getpid(), signal.SIGTERM)

    async def _endless(self, name: str, work: Work) -> None:
        await work()
        if not self.bus.stopping:
            raise RuntimeError(f"the background work {name!r} has ended")

    async def _join_nats(self) -> None:
        await self.bus.broker.connect()
        await self._provisioned.wait()
        await self.bus.broker.start()
        self.started.set()
        log.info("service.started", consumers=[consumer.durable for consumer in self._provisioned.consumers])
        await self._provisioned.watch()

    async def _consume_batches(self, consumer: Consumer, handle: BatchHandler) -> None:
        await self.started.wait()
        await consume_batches(self.bus, consumer, handle, self.metrics.messages)

    async def _check_nats(self) -> None:
        await self._provisioned.check()

    async def _stop(self, work: asyncio.Task[None]) -> None:
        self.bus.stopping = True
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        if self._shipper:
            await self._shipper.flush()
        await self.bus.broker.stop()
        for close in reversed(self._closing):
            await close()
        await asyncio.to_thread(self.tracer_provider.shutdown)
        log.info("service.stopped")

    def run(self, app: AsgiApp | None = None) -> int:
        """Serve until SIGTERM; returns the exit status. Without `app`, health is all there is to serve."""
        config = uvicorn.Config(
            app or HealthApp(self),
            host=self.settings.http_host,
            port=self.settings.http_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(self.settings.graceful_timeout_s),
        )
        for stop in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again once it has stopped well
            signal.signal(stop, lambda *_: None)
        DrainingServer(config, self._drain).run()
        return self.exit_status

    def _drain(self) -> None:
        self.bus.stopping = True
        for end in self._draining:
            end()


def _start_anew() -> None:
    """End the process at once; its supervisor starts a new one."""
    os._exit(1)


class HealthApp:
    """The ASGI application of a service without an HTTP API of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.routes = service.health.routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the three health routes, and run the service for as long as the server lives."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            route = self.routes.get(scope["path"])
            await (route(scope, receive, send) if route else respond(send, 404, b"not found", "text/plain"))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.service.lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
