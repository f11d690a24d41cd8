"""Answers across jobs, against results worked out by hand, on a real PostgreSQL; and the views behind them."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from fluxline.contracts.errors import Stage
from fluxline.contracts.insights import MAX_LIMIT
from fluxline.postgres.pool import Database
from fluxline.runtime.telemetry import Metrics
from fluxline_collector import insight_routes
from fluxline_collector.app import build
from fluxline_collector.insight_cursor import encode
from fluxline_collector.insights import Answers
from fluxline_collector.metrics import CollectorMetrics
from fluxline_collector.settings import CollectorSettings
from fluxline_collector.store import EventStore

from .conftest import TOKEN
from .ledger import NOON, Ledger, after
from .stories import TRAIN, UPLOAD, Story, Throttled, WrongToken

ZIP, TRAINING, HUB = "zip_creation", "replicate_training", "huggingface_upload"
LISTS = ("stages", "failures", "jobs", "retries", "providers", "costs")
NOW = NOON + timedelta(days=1)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


class Clock:
    """Says what it is set to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(database: Database, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(insight_routes.router(Answers(database, clock), SecretStr(TOKEN)))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://collector/v1/insights",
        headers={"Authorization": f"Bearer {TOKEN}"},
    ) as client:
        yield client


async def ask(client: httpx.AsyncClient, what: str, **parameters: Any) -> list[dict[str, Any]]:
    answer = await client.get(f"/{what}", params=parameters)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def told(items: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(item[name] for name in names) for item in items]


async def view(database: Database, name: str, *columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    rows = await database.pool.fetch(f"SELECT {', '.join(columns)} FROM {name} WHERE {where} ORDER BY {columns[0]}")
    return [tuple(row) for row in rows]


async def test_percentiles_are_interpolated_between_the_measured_values(
    ledger: Ledger, client: httpx.AsyncClient, database: Database
) -> None:
    for seconds in (1, 2, 3, 4, 10):
        await ledger.attempt("succeeded", duration_ms=seconds * 1000)
    await ledger.attempt("failed", duration_ms=500)
    # Positions from 0: p90 lies at 0.9 × 4 = 3.6, so 4 s + 0.6 × 6 s; p95 at 3.8, p99 at 3.96.
    expected = [
        ("failed", 1, 500, 500, 500, 500, 500),
        ("succeeded", 5, 3000, 7600, 8800, 9760, 10_000),
    ]
    columns = ("outcome", "attempts", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms")
    assert told(await ask(client, "stages"), *columns) == expected
    assert await view(database, "stage_durations", *columns) == expected


async def test_an_attempt_that_was_cut_off_counts_but_has_no_duration(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    await ledger.attempt("retried", duration_ms=0)
    assert told(await ask(client, "stages"), "attempts", "p50_ms", "max_ms") == [(1, None, None)]
    await ledger.attempt("retried", duration_ms=800)
    assert told(await ask(client, "stages"), "attempts", "p50_ms") == [(2, 800)]
    assert told(await ask(client, "providers"), "attempts", "p50_ms", "error_rate") == [(2, 800, 1.0)]


async def test_latency_of_a_provider_is_that_of_all_attempts(
    ledger: Ledger, client: httpx.AsyncClient, database: Database
) -> None:
    for seconds, outcome in ((1, "succeeded"), (2, "retried"), (3, "failed"), (4, "succeeded")):
        await ledger.attempt(outcome, stage=TRAINING, duration_ms=seconds * 1000)
    await ledger.attempt("succeeded", stage=TRAINING, provider="fal", duration_ms=7)
    columns = ("provider", "stage", "attempts", "p50_ms", "max_ms")
    expected = [("fal", TRAINING, 1, 7, 7), ("replicate", TRAINING, 4, 2500, 4000)]
    items = await ask(client, "providers")
    assert told(items, *columns) == expected
    assert [item["error_rate"] for item in items] == [0, 0.5]
    assert await view(database, "provider_latency", *columns) == expected


async def test_buckets_are_hours_and_days_of_utc_and_a_span_ends_before_its_end(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    for minute in (-1, 0, 59, 60):
        await ledger.attempt("succeeded", ended_at=after(minute))
    await ledger.attempt("succeeded", ended_at=after(12 * 60))
    columns = ("at", "attempts")
    assert told(await ask(client, "stages", bucket="hour"), *columns) == [
        ("2026-03-04T11:00:00Z", 1),
        ("2026-03-04T12:00:00Z", 2),
        ("2026-03-04T13:00:00Z", 1),
        ("2026-03-05T00:00:00Z", 1),
    ]
    assert told(await ask(client, "stages", bucket="day"), *columns) == [
        ("2026-03-04T00:00:00Z", 4),
        ("2026-03-05T00:00:00Z", 1),
    ]
    span = {"since": "2026-03-04T13:00:00+01:00", "until": "2026-03-04T13:00:00Z"}
    assert told(await ask(client, "stages", **span), *columns) == [("2026-03-04T12:00:00Z", 2)]


async def test_a_rate_is_of_all_attempts_of_its_stage_provider_and_version(
    ledger: Ledger, client: httpx.AsyncClient, database: Database
) -> None:
    for _ in range(6):
        await ledger.attempt("succeeded", stage=HUB)
    await ledger.attempt("retried", stage=HUB, category="rate_limit")
    await ledger.attempt("retried", stage=HUB, category="rate_limit")
    await ledger.attempt("failed", stage=HUB, category="rate_limit")
    await ledger.attempt("failed", stage=HUB, category="authentication")
    await ledger.attempt("succeeded", stage=HUB, service_version="1.1.0")
    columns = ("service_version", "category", "attempts", "failed", "retried", "error_rate")
    expected = [
        ("1.0.0", None, 10, 2, 2, 0.4),
        ("1.0.0", "rate_limit", 10, 1, 2, 0.3),
        ("1.0.0", "authentication", 10, 1, 0, 0.1),
        ("1.1.0", None, 1, 0, 0, 0),
    ]
    assert told(await ask(client, "failures"), *columns) == expected
    for bucket in ("hour", "day"):
        rows = await view(database, "failure_rates", *columns, where=f"bucket = '{bucket}'")
        assert {(*row[:5], float(row[5])) for row in rows} == set(expected)
    assert told(await ask(client, "failures", category="authentication"), *columns) == [expected[2]]
    assert told(await ask(client, "failures", version="1.1.0"), *columns) == [expected[3]]


async def test_a_failure_without_category_provider_or_version_is_unknown(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    await ledger.attempt("failed", category=None, provider=None, service_version=None)
    columns = ("provider", "service_version", "category", "failed")
    assert told(await ask(client, "failures"), *columns) == [
        ("unknown", "unknown", None, 1),
        ("unknown", "unknown", "unknown", 1),
    ]


async def test_retries_that_helped_are_told_from_those_that_did_not(
    ledger: Ledger, client: httpx.AsyncClient, database: Database
) -> None:
    await ledger.run(uuid4(), HUB, "retried", "succeeded")  # helped, after 1 minute
    await ledger.run(uuid4(), HUB, "retried", "retried", "retried", "succeeded")  # one run, helped, after 3 minutes
    await ledger.run(uuid4(), HUB, "retried", "failed")  # did not help
    await ledger.run(uuid4(), HUB, "retried")  # nobody knows yet
    await ledger.run(uuid4(), HUB, "succeeded")  # needed none
    await ledger.run(uuid4(), HUB, "failed authentication")  # had none
    columns = ("stage", "category", "kind", "attempts", "runs", "succeeded", "failed", "undecided")
    expected = [(HUB, "network", "automatic", 6, 4, 2, 1, 1)]
    items = await ask(client, "retries")
    assert told(items, *columns) == expected
    assert told(items, "success_rate", "p50_ms", "p95_ms") == [(0.6667, 120_000, 174_000)]
    assert await view(database, "retries_that_helped", *columns) == expected
    assert await view(database, "retries_that_helped", "p50_ms", "p95_ms") == [(120_000, 174_000)]


async def test_a_run_that_met_two_kinds_of_error_counts_for_both(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await ledger.run(uuid4(), HUB, "retried rate_limit", "retried", "retried rate_limit", "succeeded")
    items = await ask(client, "retries")
    assert told(items, "category", "attempts", "runs", "succeeded", "p50_ms") == [
        ("rate_limit", 2, 1, 1, 180_000),
        ("network", 1, 1, 1, 120_000),
    ]


async def test_who_made_a_stage_begin_again_is_told_apart(ledger: Ledger, client: httpx.AsyncClient) -> None:
    mended, hopeless = uuid4(), uuid4()
    await ledger.run(mended, HUB, "failed authentication")
    await ledger.run(mended, HUB, "succeeded", minute=30)
    await ledger.run(hopeless, HUB, "failed authentication")
    await ledger.run(hopeless, HUB, "failed authentication", minute=5)
    columns = ("category", "kind", "attempts", "runs", "succeeded", "failed", "p50_ms")
    assert told(await ask(client, "retries"), *columns) == [("authentication", "by_hand", 2, 2, 1, 1, 30 * 60_000)]


async def test_a_run_that_was_canceled_is_not_helped_by_the_next_one(ledger: Ledger, client: httpx.AsyncClient) -> None:
    job = uuid4()
    await ledger.run(job, HUB, "retried")  # canceled while it waited
    await ledger.run(job, HUB, "retried rate_limit", "succeeded", minute=60)
    columns = ("category", "runs", "succeeded", "undecided")
    assert set(told(await ask(client, "retries"), *columns)) == {("network", 1, 0, 1), ("rate_limit", 1, 1, 0)}


async def test_stages_and_generations_do_not_help_each_other(ledger: Ledger, client: httpx.AsyncClient) -> None:
    training = uuid4()
    await ledger.run(training, ZIP, "retried")
    await ledger.attempt("succeeded", training_id=training, stage=HUB, attempt=2)
    one, other = ({"stage": "image_generation", "training_id": training, "generation_id": uuid4()} for _ in range(2))
    await ledger.attempt("retried", **one)
    await ledger.attempt("succeeded", attempt=2, **other)
    await ledger.attempt("retried", attempt=2, **other)
    await ledger.attempt("succeeded", attempt=3, **other)
    columns = ("stage", "runs", "succeeded", "undecided")
    assert told(await ask(client, "retries"), *columns) == [("image_generation", 2, 1, 1), (ZIP, 1, 0, 1)]


async def test_a_retry_is_known_by_what_came_of_it_after_the_span(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await ledger.run(uuid4(), HUB, "retried", "retried", "succeeded")
    items = await ask(client, "retries", until=after(1.5).isoformat())
    assert told(items, "attempts", "runs", "succeeded", "p50_ms") == [(1, 1, 1, 120_000)]
    assert await ask(client, "retries", until=after(1).isoformat()) == []


async def test_a_job_is_stuck_when_it_is_silent_for_longer_than_its_stage_takes(
    ledger: Ledger, client: httpx.AsyncClient, clock: Clock, database: Database
) -> None:
    """Training takes 20 minutes here, zipping one: ten minutes of silence are what everything may have."""
    now = datetime.now(UTC)
    clock.now = now
    await ledger.attempt("succeeded", stage=TRAINING, duration_ms=20 * 60_000)
    await ledger.attempt("succeeded", stage=ZIP, duration_ms=60_000)
    await ledger.attempt("retried", stage=ZIP, duration_ms=90 * 60_000)  # what fails says nothing of how long it takes
    silent: dict[str, tuple[str, str | None, float]] = {
        "slow": ("running", TRAINING, 19),
        "stuck in training": ("running", TRAINING, 21),
        "busy zipping": ("running", ZIP, 9),
        "stuck zipping": ("running", ZIP, 11),
        "never begun": ("running", None, 12),
        "long failed": ("failed", TRAINING, 500),
        "stuck for months": ("running", HUB, 60 * 24 * 90),
    }
    for name, (status, stage, minutes) in silent.items():
        at = now - timedelta(minutes=minutes)
        await ledger.job(status, name=name, stage=stage, last_at=at, requested_at=at, first_at=at)
    expected = {"stuck in training", "stuck zipping", "never begun", "stuck for months"}
    items = await ask(client, "jobs", stuck=True)
    assert {item["name"] for item in items} == expected
    assert {row[0] for row in await view(database, "stuck_jobs", "name")} == expected
    limits = {item["name"]: (item["silent_ms"], item["stuck_after_ms"]) for item in items}
    assert limits["stuck in training"] == (21 * 60_000, 20 * 60_000)
    assert limits["stuck zipping"] == (11 * 60_000, 10 * 60_000)
    assert {job["name"] for job in await ask(client, "jobs", stuck=False)} == {"slow", "busy zipping", "long failed"}
    since = (now - timedelta(days=1)).isoformat()
    assert "stuck for months" not in {job["name"] for job in await ask(client, "jobs", stuck=True, since=since)}


async def test_only_the_newest_thousand_attempts_say_how_long_a_stage_takes(ledger: Ledger, database: Database) -> None:
    for minute in range(20):
        await ledger.attempt("succeeded", duration_ms=50 * 60_000, ended_at=after(-1 - minute))
    await ledger.attempt("succeeded", duration_ms=1000)
    await database.pool.execute(
        "INSERT INTO attempts (sequence, stored_at, stage, attempt, outcome, ended_at, duration_ms)"
        " SELECT sequence, stored_at, stage, attempt, outcome, ended_at, duration_ms"
        " FROM attempts, generate_series(1, 999) WHERE duration_ms = 1000"
    )
    assert await view(database, "usual_stage_times", "attempts", "p99_ms", where="stage = 'zip_creation'") == [
        (1000, 1000)
    ]
    stages = {row[0] for row in await view(database, "usual_stage_times", "stage")}
    assert stages == set(Stage)


async def test_costs_add_up_over_runs_and_days(ledger: Ledger, client: httpx.AsyncClient, database: Database) -> None:
    await ledger.paid(1.5, 0.25, succeeded_at=NOON)  # paid twice: retried after a failure
    await ledger.paid(0.75, succeeded_at=NOON, status="failed")
    await ledger.paid(2.0, succeeded_at=NOON, provider="fal", owner="eve")
    await ledger.paid(4.0, succeeded_at=after(13 * 60), status="canceled")
    await ledger.job()  # its price is not known: not a zero in the mean
    columns = ("provider", "jobs", "runs", "cost_usd", "mean_usd", "max_usd", "lost_usd")
    assert told(await ask(client, "costs"), *columns) == [
        ("fal", 1, 1, 2.0, 2.0, 2.0, 0.0),
        ("replicate", 3, 4, 6.5, 2.166667, 4.0, 4.75),
    ]
    of_days = told(await ask(client, "costs", bucket="day", provider="replicate"), "at", *columns)
    assert of_days == [
        ("2026-03-04T00:00:00Z", "replicate", 2, 3, 2.5, 1.25, 1.75, 0.75),
        ("2026-03-05T00:00:00Z", "replicate", 1, 1, 4.0, 4.0, 4.0, 4.0),
    ]
    rows = await view(database, "provider_costs", "day", *columns, where="provider = 'replicate'")
    assert [row[1:3] + tuple(map(float, row[3:])) for row in rows] == [row[1:] for row in of_days]
    assert told(await ask(client, "costs", owner="eve"), "cost_usd") == [(2.0,)]
    assert len(await view(database, "job_costs", "training_id")) == 4


async def test_jobs_are_found_by_what_is_known_of_them(ledger: Ledger, client: httpx.AsyncClient) -> None:
    failed = {"failed_stage": HUB, "category": "authentication", "message": "The token is refused"}
    await ledger.job("failed", name="broken", **failed)
    await ledger.job("succeeded", name="Straße", owner="eve", provider="fal", external_id="r-77")
    await ledger.job("running", name="open", requested_at=after(60), first_at=after(60))
    replayed = {"ended_at": after(5), "verdict": "failed", "failed_stage": HUB, "category": "billing"}
    await ledger.job("running", name="replayed", stage=ZIP, **replayed)

    async def names(**parameters: Any) -> set[str]:
        return {item["name"] for item in await ask(client, "jobs", **parameters)}

    assert await names() == {"broken", "Straße", "open", "replayed"}
    assert await names(status="failed") == {"broken"}
    assert await names(stage=HUB) == {"broken"}
    assert await names(category="authentication") == {"broken"}
    assert await names(category="billing") == set()
    assert await names(provider="fal") == await names(owner="eve") == await names(q="R-77") == {"Straße"}
    assert await names(q="TOKEN") == {"broken"}
    assert await names(q="\0%_'") == set()
    assert await names(since=after(30).isoformat()) == {"open"}
    assert await names(min_duration_ms=600_001) == {"open", "replayed"}
    (replay,) = [item for item in await ask(client, "jobs") if item["name"] == "replayed"]
    assert (replay["ended_at"], replay["category"], replay["duration_ms"]) == (None, None, 24 * 3_600_000)


async def test_jobs_come_newest_slowest_or_costliest_first(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await ledger.paid(1.0, name="first", requested_at=after(1), ended_at=after(9))
    await ledger.paid(3.0, name="second", requested_at=after(2), ended_at=after(4))
    await ledger.job("failed", name="third", requested_at=after(3), ended_at=after(8))
    job = await ledger.job("running", name="open", requested_at=after(-1))
    await ledger.run(job, ZIP, "retried", "succeeded")
    await ledger.run(job, "image_generation", "succeeded", generation_id=uuid4())

    async def names(sort: str) -> list[str]:
        return [item["name"] for item in await ask(client, "jobs", sort=sort)]

    assert await names("newest") == ["third", "second", "first", "open"]
    assert await names("slowest") == ["open", "first", "third", "second"]
    assert await names("costliest") == ["second", "first"]
    slowest = await ask(client, "jobs", sort="slowest")
    assert told(slowest, "duration_ms", "work_ms", "cost_usd") == [
        (24 * 3_600_000 + 60_000, 2000, None),
        (480_000, 0, 1.0),
        (300_000, 0, None),
        (120_000, 0, 3.0),
    ]


async def test_slow_jobs_say_where_their_time_went(ledger: Ledger, database: Database) -> None:
    job = await ledger.job(name="slow", ended_at=after(60))
    await ledger.job(name="fast", ended_at=after(1))
    await ledger.run(job, ZIP, "succeeded", duration_ms=70_000)
    await ledger.run(job, TRAINING, "retried", "succeeded", duration_ms=40_000)
    await ledger.run(job, "image_generation", "succeeded", generation_id=uuid4(), duration_ms=900_000)
    rows = await database.pool.fetch(
        "SELECT name, duration_ms, work_ms, slowest_stage, slowest_stage_ms FROM slow_jobs"
    )
    assert [tuple(row) for row in rows] == [
        ("slow", 3_600_000, 150_000, TRAINING, 80_000),
        ("fast", 60_000, None, None, None),
    ]


async def test_pages_together_are_the_whole_list_though_time_goes_on(
    ledger: Ledger, client: httpx.AsyncClient, clock: Clock
) -> None:
    for number in range(4):
        job = await ledger.paid(1.5, name=f"j{number % 2}", provider=("fal", "replicate")[number % 2])
        await ledger.job("running", requested_at=after(number % 2))
        for stage in (ZIP, HUB):
            await ledger.run(job, stage, "retried", "retried billing", "failed", minute=number * 60)
            await ledger.run(job, stage, "succeeded", minute=number * 60 + 5, service_version=f"1.{number % 2}.0")
    asked = [(what, {"bucket": "hour"}) for what in ("stages", "failures", "providers", "costs")]
    asked += [("retries", {}), *(("jobs", {"sort": sort}) for sort in ("newest", "slowest", "costliest"))]
    for what, parameters in asked:
        clock.now = NOW
        whole = await ask(client, what, **parameters)
        assert len(whole) >= 2, what
        pages, cursor = [], None
        for _ in range(len(whole)):
            given = parameters | ({"cursor": cursor} if cursor else {})
            answer = (await client.get(f"/{what}", params={"limit": 1, **given})).json()
            pages += answer["items"]
            cursor = answer["next_cursor"]
            clock.now += timedelta(days=3)
        assert (pages, cursor) == (whole, None), what


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"since": "2026-03-04T12:00:00Z", "until": "2026-03-04T12:00:00Z"}, "before until"),
        ({"since": "2025-01-01T00:00:00Z"}, "400 days"),
        ({"until": "9999-12-31T23:00:00-12:00"}, "1970 and 9000"),
        ({"cursor": "bm90"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": encode(NOW, ("a", "b"))}, "cursor"),
        ({"since": "2026-03-04T12:00:00"}, "timezone"),
        ({"since": "soon"}, "datetime"),
        ({"limit": "0"}, "greater"),
        ({"limit": str(MAX_LIMIT + 1)}, "less"),
        ({"cursor": "a" * 2001}, "2000"),
    ],
)
async def test_what_cannot_be_answered_is_refused_with_the_reason(
    client: httpx.AsyncClient, parameters: dict[str, str], reason: str
) -> None:
    for what in LISTS:
        answer = await client.get(f"/{what}", params=parameters)
        assert answer.status_code == 422, what
        assert reason in answer.text, what


@pytest.mark.parametrize(
    "key",
    [
        ("9999-12-31T23:00:00-12:00", str(UUID(int=1))),
        ("2026-03-04T12:00:00", str(UUID(int=1))),
        (2**63, str(UUID(int=1))),
        ("1e999999", str(UUID(int=1))),
        ("1e-999999", str(UUID(int=1))),
        ("NaN", str(UUID(int=1))),
        ("2026-03-04T12:00:00Z", "no id"),
    ],
)
async def test_a_cursor_made_up_never_reaches_the_database(client: httpx.AsyncClient, key: tuple[Any, ...]) -> None:
    for sort in ("newest", "slowest", "costliest"):
        answer = await client.get("/jobs", params={"sort": sort, "cursor": encode(NOW, key)})
        assert answer.status_code == 422, (sort, answer.text)


async def test_text_of_a_cursor_or_filter_may_hold_anything(client: httpx.AsyncClient) -> None:
    cursor = encode(NOW, (NOW, "\0", "'; DROP TABLE jobs", "\ufffd"))
    assert (await client.get("/stages", params={"cursor": cursor, "provider": "\0"})).status_code == 200


def test_the_collector_serves_every_list() -> None:
    settings = CollectorSettings(nats_url="nats://127.0.0.1:1", database_url="postgresql://h/d", token=TOKEN)  # type: ignore[arg-type]
    _, app = build(settings)
    assert {f"/v1/insights/{what}" for what in LISTS} <= set(app.openapi()["paths"])


async def test_the_views_that_the_readme_opens_to_readers_are_all_of_them(database: Database) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    granted = set(re.findall(r"collector\.(\w+)", readme.partition("GRANT SELECT ON")[2].partition("TO insights")[0]))
    assert granted == {row[0] for row in await view(database, "pg_views", "viewname", where="schemaname = 'collector'")}


async def test_nobody_asks_without_the_token(client: httpx.AsyncClient) -> None:
    for what in LISTS:
        assert (await client.get(f"/{what}", headers={"Authorization": "Bearer wrong"})).status_code == 401


async def test_what_the_stream_tells_is_what_is_answered(
    database: Database, client: httpx.AsyncClient, clock: Clock
) -> None:
    """From messages to answers: a training that was throttled, failed at its publication, and was retried by hand."""
    story = Story().zipped().after(2).start(TRAIN).retry(TRAIN, Throttled(), delay_s=32).after(32).start(TRAIN, 2)
    story.accepted().after(60).weights(attempt=2, worked_s=60).after(1).start(UPLOAD).fail(UPLOAD, WrongToken())
    story.after(600).asked_to_retry(UPLOAD).after(3).start(UPLOAD).published()
    store = EventStore(database, CollectorMetrics(Metrics().registry))
    await store.store(story.messages)
    clock.now = story.now + timedelta(seconds=1)
    (job,) = await ask(client, "jobs")
    assert (job["training_id"], job["status"], job["stuck"]) == (str(story.training_id), "succeeded", False)
    assert (job["retries"], job["errors"], job["cost_usd"], job["work_ms"]) == (1, 2, 1.5, 69_000)
    assert job["duration_ms"] == 1000 * (5 + 2 + 1 + 32 + 60 + 1 + 1 + 600 + 3 + 3)
    retries = told(await ask(client, "retries"), "stage", "category", "kind", "succeeded")
    assert set(retries) == {
        (TRAINING, "rate_limit", "automatic", 1),
        (HUB, "authentication", "by_hand", 1),
    }
    assert told(await ask(client, "costs"), "provider", "jobs", "cost_usd") == [("replicate", 1, 1.5)]


async def test_every_view_and_column_is_explained(database: Database) -> None:
    rows = await database.pool.fetch(
        "SELECT c.relname, a.attname, obj_description(c.oid) AS view, col_description(c.oid, a.attnum) AS column"
        " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relkind = 'v' AND c.relnamespace = 'collector'::regnamespace"
    )
    assert len({row["relname"] for row in rows}) >= 13
    assert [tuple(row) for row in rows if not row["view"] or not row["column"]] == []


async def test_a_reader_may_ask_the_views_and_nothing_else(database: Database, database_url: str) -> None:
    views = [row[0] for row in await view(database, "pg_views", "viewname", where="schemaname = 'collector'")]
    role = f"reader_{uuid4().hex}"
    await database.pool.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA collector TO {role};"
        + "".join(f"GRANT SELECT ON collector.{name} TO {role};" for name in views)
    )
    try:
        reader = await asyncpg.connect(database_url.replace("postgres@", f"{role}@"))
        try:
            for name in views:
                await reader.fetch(f"SELECT * FROM collector.{name}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.fetch("SELECT * FROM collector.events")
        finally:
            await reader.close()
    finally:
        await database.pool.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
