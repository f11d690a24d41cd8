"""`/v1/admin/health`: which services listen, and how many messages wait for each, as JetStream sees it."""

import asyncio

import nats.errors
import nats.js.errors
from fastapi import APIRouter
from nats.js import JetStreamContext

from fluxline.contracts.catalog import CONSUMERS, Consumer
from fluxline.runtime.errors import BrokerUnavailable
from fluxline_gateway.debug.dead_letter_views import ConsumerHealth, ServiceHealth, SystemHealth
from fluxline_gateway.deps import Deps, Owner
from fluxline_gateway.errors import problems
from fluxline_gateway.identity.scopes import ADMIN_PATH

router = APIRouter(prefix=ADMIN_PATH, tags=["operations"], responses=problems(_503="NATS does not answer"))
LOOKS, BETWEEN_LOOKS_S = 3, 0.2
"""A consumer between two requests for messages looks like one that nobody listens to: it is looked at again."""
_UNAVAILABLE = (nats.errors.Error, nats.js.errors.Error, ConnectionError, TimeoutError, OSError)


@router.get("/health", operation_id="get_health")
async def get_health(gateway: Deps, _: Owner) -> SystemHealth:
    """Every service that reads events: whether it listens, its last delivery, and its consumers' lag."""
    jetstream = gateway.bus.jetstream
    try:
        found = await asyncio.gather(*(_health_of(jetstream, consumer) for consumer in CONSUMERS))
    except _UNAVAILABLE as error:
        raise BrokerUnavailable(f"NATS did not answer for its consumers ({type(error).__name__})") from error
    services: dict[str, list[ConsumerHealth]] = {}
    for health in found:
        services.setdefault(health.durable.partition("-")[0], []).append(health)
    return SystemHealth(services=[_service(name, consumers) for name, consumers in services.items()])


def _service(name: str, consumers: list[ConsumerHealth]) -> ServiceHealth:
    return ServiceHealth(
        service=name,
        listening=all(consumer.listening for consumer in consumers),
        last_active=max((at for consumer in consumers if (at := consumer.last_active)), default=None),
        consumers=consumers,
    )


async def _health_of(jetstream: JetStreamContext, consumer: Consumer) -> ConsumerHealth:
    """A consumer that is not there is one that nobody listens to."""
    health = ConsumerHealth(
        durable=consumer.durable,
        stream=consumer.stream.name,
        listening=False,
        pending=0,
        in_flight=0,
        redelivered=0,
        last_active=None,
    )
    for look in range(LOOKS):
        await asyncio.sleep(BETWEEN_LOOKS_S if look else 0)
        try:
            info = await jetstream.consumer_info(consumer.stream.name, consumer.durable)
        except nats.js.errors.NotFoundError:
            return health
        if info.num_waiting or info.num_ack_pending:
            break
    in_flight = info.num_ack_pending or 0
    facts = {
        "listening": bool(info.num_waiting or in_flight),
        "pending": info.num_pending or 0,
        "in_flight": in_flight,
        "redelivered": info.num_redelivered or 0,
        "last_active": info.delivered.last_active if info.delivered else None,
    }
    return health.model_copy(update=facts)
