"""Spend caps and limits over HTTP on a real PostgreSQL: reserved, spent, released, and never more than allowed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fluxline.contracts import events as e
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.job import Cost
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import read_event
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.stages import StageAttempt
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline.storage.local import LocalStorage
from fluxline_gateway.api import make_app
from fluxline_gateway.app import routers
from fluxline_gateway.deps import Gateway
from fluxline_gateway.errors import PROBLEM_JSON
from fluxline_gateway.identity import keys
from fluxline_gateway.live.hub import LiveHub
from fluxline_gateway.migrations import SCHEMA
from fluxline_gateway.settings import GatewaySettings
from fluxline_gateway.trainings import spending
from fluxline_gateway.trainings.projection import Projection
from polling import poll_until

from .jobs import ClientOf, job_after, order_of, received

LIKELY = 1.6013
"""What the order of these tests is estimated at."""
PAID = Cost(amount_usd=1.25, basis="819.7 s of predict time")
CLICKS = 20


class HubDown(FluxlineError):
    """Hugging Face does not answer."""

    category = ErrorCategory.SERVICE_ERROR
    hint = "Wait."


@dataclass
class Account:
    """Ada's money, and the stream of events that moves it."""

    client: httpx.AsyncClient
    database: Database
    sequence: int = 0

    async def train(self, **facts: Any) -> httpx.Response:
        answer = await self.client.post("/v1/trainings", json=await order_of(self.database, **facts))
        if answer.status_code == 202:
            await self.happens(await self.newest(e.TrainingRequested.subject))
        return answer

    async def started(self) -> e.TrainingRequested:
        """A training that is under way."""
        assert (await self.train()).status_code == 202
        event = await self.newest(e.TrainingRequested.subject)
        assert isinstance(event, e.TrainingRequested)
        return event

    async def newest(self, subject: str) -> Event:
        row = await self.database.pool.fetchrow(
            "SELECT subject, body FROM outbox WHERE subject = $1 ORDER BY id DESC LIMIT 1", subject
        )
        return read_event(row["subject"], row["body"])

    async def happens(self, *events: Event) -> None:
        for event in events:
            self.sequence += 1
            await Projection(self.database).handle([received(self.sequence, event)])

    async def fails(self, cause: e.TrainingRequested, stage: Stage, *, run: int = 0) -> None:
        attempt = StageAttempt(stage, "test", cause, 1)
        failed = training_failed(attempt, HubDown())
        assert failed
        await self.happens(failed.model_copy(update={"run": run, "event_id": uuid4()}))

    async def retries(self, cause: e.TrainingRequested) -> httpx.Response:
        return await self.client.post(f"/v1/trainings/{cause.training_id}/retry")

    async def me(self) -> dict[str, Any]:
        answer = await self.client.get("/v1/me")
        assert answer.status_code == 200, answer.text
        me: dict[str, Any] = answer.json()
        return me

    async def money(self) -> tuple[float, float]:
        """What is spent and what is reserved."""
        spend = (await self.me())["spend"]
        return spend["spent_usd"], spend["reserved_usd"]

    async def limit(self, owner: str = "ada", **limits: float | None) -> None:
        """Give the owner limits of its own."""
        await self.database.pool.execute(
            "INSERT INTO owners (owner, spend_cap_usd, max_running) VALUES ($1, $2, $3) ON CONFLICT (owner)"
            " DO UPDATE SET spend_cap_usd = excluded.spend_cap_usd, max_running = excluded.max_running",
            owner,
            limits.get("spend_cap_usd"),
            limits.get("max_running"),
        )

    async def count(self, table: str) -> int:
        return int(await self.database.pool.fetchval(f"SELECT count(*) FROM {table}"))


@pytest.fixture
def account(client: httpx.AsyncClient, database: Database) -> Account:
    return Account(client, database)


def paid(cause: e.TrainingRequested, cost: Cost | None = PAID, run: int = 0) -> list[Event]:
    """A whole job, whose training cost that."""
    update = {"cost": cost, "run": run}
    return [
        event.model_copy(update=update) if isinstance(event, e.TrainingSucceeded) else event
        for event in job_after(cause)
    ]


def until_trained(events: list[Event]) -> list[Event]:
    """Up to the success of the provider's training."""
    last = next(n for n, event in enumerate(events) if isinstance(event, e.TrainingSucceeded))
    return events[: last + 1]


def taken(cause: Event, **ago: float) -> e.TrainingStarted:
    """The provider began, some time ago."""
    facts = {"provider": "replicate", "external_id": "r1", "destination": "ada/x", "trainer_version": "1"}
    event = e.TrainingStarted.caused_by(cause, **facts)
    return event.model_copy(update={"occurred_at": datetime.now(UTC) - timedelta(**ago)})


@asynccontextmanager
async def gateways(
    settings: GatewaySettings, url: str, storage: LocalStorage
) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Ada's clients of two gateways behind one database."""
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(2):
            database = Database(url, SCHEMA)
            await database.open()
            stack.push_async_callback(database.close)
            bus = Bus("gateway", settings.nats_url, make_tracer_provider("gateway", None))
            gateway = Gateway(settings, database, bus, storage, LiveHub(bus))
            stack.push_async_callback(gateway.http.aclose)
            app = make_app(gateway, routers(storage), probes={}, tracer_provider=make_tracer_provider("gateway", None))
            key, _ = await keys.create(database.pool, "ada")
            transport, headers = httpx.ASGITransport(app), {"Authorization": f"Bearer {key}"}
            client = httpx.AsyncClient(transport=transport, base_url="http://gateway.test", headers=headers)
            clients.append(await stack.enter_async_context(client))
        yield clients


async def test_a_training_reserves_its_likely_cost_until_the_real_one_is_known(account: Account) -> None:
    cause = await account.started()
    assert await account.money() == (0, LIKELY)
    assert (await account.me())["running"] == {"now": 1, "limit": None}
    events = paid(cause)
    await account.happens(*until_trained(events))
    assert await account.money() == (PAID.amount_usd, 0)
    assert (await account.me())["running"]["now"] == 1
    await account.happens(*events)
    assert await account.money() == (PAID.amount_usd, 0)
    assert (await account.me())["running"]["now"] == 0
    shown = (await account.client.get(f"/v1/trainings/{cause.training_id}")).json()
    assert shown["cost"]["amount_usd"] == PAID.amount_usd
    assert shown["estimate"]["cost_usd"]["likely"] == LIKELY


async def test_the_account_without_a_cap_says_so_and_when_the_month_ends(account: Account) -> None:
    spend = (await account.me())["spend"]
    assert (spend["cap_usd"], spend["remaining_usd"]) == (None, None)
    begin, end = datetime.fromisoformat(spend["period_start"]), datetime.fromisoformat(spend["resets_at"])
    now = datetime.now(UTC)
    assert begin <= now < end
    assert (begin.day, begin.hour, end.day, end.hour) == (1, 0, 1, 0)
    assert timedelta(days=27) < end - begin < timedelta(days=32)


async def test_events_that_come_again_or_in_another_order_count_once(account: Account) -> None:
    cause = await account.started()
    events = paid(cause)
    batch = [received(n, event) for n, event in enumerate(events, start=2)]
    await asyncio.gather(*(Projection(account.database).handle(part) for part in (batch[5:], batch[:8], batch[::-1])))
    await Projection(account.database).handle(batch)
    assert await account.money() == (PAID.amount_usd, 0)


async def test_a_training_whose_price_nobody_tells_counts_as_estimated(account: Account) -> None:
    cause = await account.started()
    await account.happens(*paid(cause, None))
    assert await account.money() == (LIKELY, 0)


async def test_what_fails_or_is_canceled_before_the_provider_has_it_costs_nothing(account: Account) -> None:
    failed, stopped = await account.started(), await account.started()
    assert await account.money() == (0, pytest.approx(2 * LIKELY))
    await account.fails(failed, Stage.ZIP_CREATION)
    await account.happens(e.TrainingCanceled.caused_by(stopped, stage=Stage.ZIP_CREATION))
    assert await account.money() == (0, 0)


async def test_what_is_stopped_at_the_provider_counts_by_its_time(account: Account) -> None:
    cause = await account.started()
    await account.database.pool.execute("UPDATE spending SET created_at = created_at - interval '1 hour'")
    await account.happens(
        taken(cause, seconds=100), e.TrainingCanceled.caused_by(cause, stage=Stage.REPLICATE_TRAINING)
    )
    spent_usd, reserved_usd = await account.money()
    assert (spent_usd, reserved_usd) == (pytest.approx(100 * 0.001525, rel=0.1), 0)


async def test_what_is_stopped_counts_at_most_as_estimated(account: Account) -> None:
    cause = await account.started()
    await account.database.pool.execute("UPDATE spending SET created_at = created_at - interval '1 day'")
    await account.happens(taken(cause, hours=10))
    await account.fails(cause, Stage.REPLICATE_TRAINING)
    assert await account.money() == (LIKELY, 0)


async def test_a_retry_that_trains_again_adds_to_what_was_spent(account: Account) -> None:
    cause = await account.started()
    await account.happens(*until_trained(paid(cause)))
    await account.fails(cause, Stage.REPLICATE_TRAINING)
    assert await account.money() == (PAID.amount_usd, 0)
    assert (await account.retries(cause)).status_code == 202
    assert await account.money() == (PAID.amount_usd, LIKELY)
    retry = await account.newest(e.TrainingRetryRequested.subject)
    assert isinstance(retry, e.TrainingRetryRequested)
    assert retry.publish == cause.publish
    assert retry.publish.accept_license is True
    again = [event for event in paid(cause, run=1) if isinstance(event, e.TrainingSucceeded)]
    await account.happens(retry, again[0].model_copy(update={"event_id": uuid4()}))
    assert await account.money() == (2 * PAID.amount_usd, 0)


async def test_a_retry_that_only_publishes_reserves_nothing(account: Account) -> None:
    cause = await account.started()
    await account.happens(*until_trained(paid(cause)))
    await account.fails(cause, Stage.HUGGINGFACE_UPLOAD)
    await account.limit(spend_cap_usd=PAID.amount_usd)
    assert (await account.retries(cause)).status_code == 202
    assert await account.money() == (PAID.amount_usd, 0)


async def test_a_failed_training_that_a_replay_brings_back_is_reserved_for_again(account: Account) -> None:
    cause = await account.started()
    await account.fails(cause, Stage.REPLICATE_TRAINING)
    assert await account.money() == (0, 0)
    await account.happens(StageAttempt(Stage.REPLICATE_TRAINING, "test", cause, 1, replay=7).started())
    assert await account.money() == (0, LIKELY)
    assert (await account.me())["running"]["now"] == 1


async def test_deleting_a_training_keeps_what_it_has_cost(account: Account) -> None:
    cause, other = await account.started(), await account.started()
    await account.happens(*paid(cause))
    for training_id in (cause.training_id, other.training_id):
        await account.client.delete(f"/v1/trainings/{training_id}")
    assert await account.money() == (PAID.amount_usd, LIKELY)
    await account.happens(e.TrainingCanceled.caused_by(other, stage=Stage.ZIP_CREATION))
    assert await account.count("trainings") == 0
    assert await account.money() == (PAID.amount_usd, 0)
    await account.happens(*until_trained(paid(other)))
    assert await account.money() == (2 * PAID.amount_usd, 0)


async def test_money_of_last_month_is_forgotten_but_not_what_still_runs(account: Account) -> None:
    cause = await account.started()
    await account.happens(*paid(cause))
    await account.started()
    await account.database.pool.execute(
        "UPDATE spending SET created_at = created_at - interval '40 days', spent_at = spent_at - interval '40 days'"
    )
    assert await account.money() == (0, LIKELY)


async def test_nothing_is_started_beyond_the_cap_and_the_answer_says_why(account: Account) -> None:
    await account.limit(spend_cap_usd=2 * LIKELY)
    first = await account.started()
    second = await account.train()
    assert second.status_code == 202
    before = [await account.count(table) for table in ("trainings", "outbox", "spending")]
    refused = await account.train()
    assert refused.status_code == 402
    assert refused.headers["content-type"] == PROBLEM_JSON
    problem = refused.json()
    assert (problem["title"], problem["category"]) == ("Spend cap reached", "billing")
    assert problem["detail"].startswith("Of a cap of $3.20 a month, $0.00 are spent and $3.20 reserved")
    assert "$1.60" in problem["detail"]
    assert f"{(await account.me())['spend']['resets_at']}" in problem["hint"]
    assert "administrator" in problem["hint"]
    assert [await account.count(table) for table in ("trainings", "outbox", "spending")] == before
    assert (await account.me())["spend"]["remaining_usd"] == 0
    await account.fails(first, Stage.ZIP_CREATION)
    assert (await account.train()).status_code == 202


async def test_a_refused_idempotency_key_can_be_used_again(account: Account) -> None:
    await account.limit(spend_cap_usd=0.5)
    order, key = await order_of(account.database), {"Idempotency-Key": "a-click"}
    assert (await account.client.post("/v1/trainings", json=order, headers=key)).status_code == 402
    await account.limit(spend_cap_usd=5.0)
    assert (await account.client.post("/v1/trainings", json=order, headers=key)).status_code == 202


async def test_no_more_trainings_run_at_once_than_may(account: Account) -> None:
    await account.limit(max_running=1)
    first = await account.started()
    refused = await account.train()
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    problem = refused.json()
    assert (problem["title"], problem["category"]) == ("Too many trainings at once", "rate_limit")
    assert (await account.me())["running"] == {"now": 1, "limit": 1}
    await account.happens(*paid(first))
    assert (await account.train()).status_code == 202


async def test_a_retry_is_held_to_the_same_limits(account: Account) -> None:
    cause = await account.started()
    await account.fails(cause, Stage.ZIP_CREATION)
    await account.limit(spend_cap_usd=LIKELY / 2)
    assert (await account.retries(cause)).status_code == 402
    await account.limit(max_running=1)
    await account.started()
    assert (await account.retries(cause)).status_code == 429
    shown = (await account.client.get(f"/v1/trainings/{cause.training_id}")).json()
    assert (shown["status"], await account.count("spending")) == ("failed", 2)


async def test_the_gateways_limits_are_those_of_owners_without_their_own(
    account: Account, settings: GatewaySettings, database_url: str, storage: LocalStorage
) -> None:
    limited = settings.model_copy(update={"spend_cap_usd": 1.0, "max_running": 7})
    async with gateways(limited, database_url, storage) as (one, _):
        ada = Account(one, account.database)
        assert (await ada.me())["spend"]["cap_usd"] == 1.0
        assert (await ada.me())["running"]["limit"] == 7
        assert (await ada.train()).status_code == 402
        await ada.limit(spend_cap_usd=10.0)
        assert (await ada.me())["spend"]["cap_usd"] == 10.0
        assert (await ada.me())["running"]["limit"] == 7
        assert (await ada.train()).status_code == 202


@pytest.mark.parametrize(("limits", "status"), [({"spend_cap_usd": 3 * LIKELY}, 402), ({"max_running": 3}, 429)])
async def test_many_requests_at_once_through_two_gateways_start_no_more_than_three(
    account: Account,
    settings: GatewaySettings,
    database_url: str,
    storage: LocalStorage,
    limits: dict[str, float],
    status: int,
) -> None:
    await account.limit(**limits)
    orders = [await order_of(account.database) for _ in range(CLICKS)]
    async with gateways(settings, database_url, storage) as clients:
        posts = (clients[n % 2].post("/v1/trainings", json=order) for n, order in enumerate(orders))
        answers = await asyncio.gather(*posts)
    assert sorted(answer.status_code for answer in answers) == sorted([202] * 3 + [status] * (CLICKS - 3))
    assert await account.count("trainings") == await account.count("outbox") == await account.count("spending") == 3


async def test_orders_retries_and_generations_at_once_neither_block_each_other_nor_pass_the_cap(
    account: Account, settings: GatewaySettings, database_url: str, storage: LocalStorage
) -> None:
    causes = [await account.started() for _ in range(5)]
    for cause in causes:
        await account.fails(cause, Stage.ZIP_CREATION)
    await account.limit(spend_cap_usd=4.5 * LIKELY)
    orders = [await order_of(account.database) for _ in range(8)]
    async with gateways(settings, database_url, storage) as (one, two):
        calls = [
            *(one.post("/v1/trainings", json=order) for order in orders),
            *(two.post(f"/v1/trainings/{cause.training_id}/retry") for cause in causes),
            *(one.post(f"/v1/trainings/{cause.training_id}/retry") for cause in causes),
            *(two.post("/v1/generations", json={"prompt": "a cat"}) for _ in range(5)),
        ]
        answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {202, 402}
    assert (await account.me())["running"]["now"] == 4
    assert sum(await account.money()) <= 4.5 * LIKELY


async def test_who_has_neither_cap_nor_limit_waits_for_nobody(account: Account) -> None:
    async with account.database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext('ada'))", spending.LOCK_CLASS)
        assert (await account.train()).status_code == 202
        await account.limit(spend_cap_usd=100.0)
        waiting = asyncio.create_task(account.train())
        await poll_until(
            lambda: account.database.pool.fetchval(
                "SELECT true FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            )
        )
        assert not waiting.done()
    assert (await waiting).status_code == 202


async def test_another_owners_money_is_another_owners(account: Account, client_of: ClientOf) -> None:
    await account.limit(spend_cap_usd=LIKELY)
    await account.started()
    async with client_of("bob") as bob:
        bobs = Account(bob, account.database)
        assert await bobs.money() == (0, 0)
        answer = await bob.post("/v1/trainings", json=await order_of(account.database, "bob"))
        assert answer.status_code == 202
        assert (await bobs.me())["running"]["now"] == 1
    assert await account.money() == (0, LIKELY)


async def test_generations_are_reserved_for_and_settled_too(account: Account) -> None:
    await account.limit(spend_cap_usd=0.11)
    body = {"prompt": "a cat", "num_outputs": 4}
    assert (await account.client.post("/v1/generations", json=body)).status_code == 202
    assert await account.money() == (0, 0.1)
    assert (await account.client.post("/v1/generations", json=body)).status_code == 402
    cause = await account.newest(e.GenerationRequested.subject)
    assert isinstance(cause, e.GenerationRequested)
    facts = {"generation_id": cause.generation_id, "prompt_used": "a cat", "provider": "r", "external_id": "p"}
    cost = Cost(amount_usd=0.02, basis="13 s")
    done = e.GenerationSucceeded.caused_by(cause, image_keys=("g/0.webp",), cost=cost, **facts)
    await account.happens(done, done)
    assert await account.money() == (0.02, 0)


async def test_a_failed_generation_costs_nothing(account: Account) -> None:
    await account.client.post("/v1/generations", json={"prompt": "a cat"})
    cause = await account.newest(e.GenerationRequested.subject)
    assert isinstance(cause, e.GenerationRequested)
    facts = {"category": ErrorCategory.CONTENT_POLICY, "retryable": False, "attempts": 1, "hint": "h", "message": "m"}
    await account.happens(e.GenerationFailed.caused_by(cause, generation_id=cause.generation_id, **facts))
    assert await account.money() == (0, 0)


async def test_generations_that_are_deleted_with_their_model_release_what_they_reserved(account: Account) -> None:
    cause = await account.started()
    await account.happens(*paid(cause))
    [model] = (await account.client.get("/v1/models")).json()["items"]
    asked = await account.client.post(f"/v1/models/{model['id']}/generations", json={"prompt": "a cat"})
    assert asked.status_code == 202
    assert await account.money() == (PAID.amount_usd, 0.025)
    assert (await account.client.delete(f"/v1/trainings/{cause.training_id}")).status_code == 204
    assert await account.money() == (PAID.amount_usd, 0)


async def test_the_admin_sees_the_same_figures(account: Account, settings: GatewaySettings) -> None:
    cause = await account.started()
    await account.happens(*until_trained(paid(cause)))
    spend = await spending.spend_of(account.database.pool, "ada", settings)
    assert (spend.spent_usd, spend.reserved_usd) == await account.money()
    assert await spending.running_of(account.database.pool, "ada") == 1
    assert await spending.running_of(account.database.pool, "nobody") == 0
