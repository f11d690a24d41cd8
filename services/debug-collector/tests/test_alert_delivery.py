"""Notices on their way: through apprise to a real HTTP server, whatever that does; and the API over all of it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from nats.js import JetStreamContext

from fluxline.contracts.alerts import AlertIncidentPage, AlertRules, AlertTest
from fluxline.postgres.pool import Database
from fluxline_collector.alerts.channel_urls import channel_urls
from fluxline_collector.alerts.channels import Channel, Delivery
from fluxline_collector.alerts.outbox import pause_after
from fluxline_collector.alerts.wording import Message
from fluxline_collector.app import build
from fluxline_collector.settings import CollectorSettings
from polling import poll_until
from servers import NatsServer

from .alert_world import TOKEN, OtherSide, World, other_side

BEARER = "collector-token-of-the-tests"
MESSAGE = Message("[test] title", "**What:** `x`")


@pytest.fixture
async def side() -> AsyncIterator[OtherSide]:
    with other_side() as side:
        yield side


@pytest.fixture
def world(database: Database, side: OtherSide) -> World:
    return World(database, side)


def channel_to(url: str, deadline_s: float = 5.0) -> Channel:
    [configured] = channel_urls(url)
    return Channel(1, configured, "secret", deadline_s)


async def test_a_message_arrives_as_it_is_written(side: OtherSide) -> None:
    assert await channel_to(side.url).send(MESSAGE, "critical") == Delivery(True)
    [told] = side.messages
    assert (told["title"], told["message"], told["type"]) == (MESSAGE.title, MESSAGE.body, "failure")


@pytest.mark.parametrize(
    ("status", "final"), [(400, True), (401, True), (404, True), (408, False), (429, False), (500, False), (503, False)]
)
async def test_an_http_status_says_whether_another_try_can_help(side: OtherSide, status: int, final: bool) -> None:
    side.statuses = [status]
    delivery = await channel_to(side.url).send(MESSAGE, "info")
    assert delivery == Delivery(False, f"it answered with the HTTP status {status}", final)


async def test_nobody_there_is_worth_another_try() -> None:
    delivery = await channel_to(f"json://127.0.0.1:9/{TOKEN}").send(MESSAGE, "info")
    assert delivery == Delivery(False, "it cannot be reached, or does not answer")


async def test_a_channel_that_hangs_is_given_up_and_not_asked_again_meanwhile(side: OtherSide) -> None:
    channel = channel_to(side.url, deadline_s=0.2)
    side.statuses = [0]
    assert await channel.send(MESSAGE, "info") == Delivery(False, "it did not answer within 0.2 s")
    assert channel.busy
    assert (await channel.send(MESSAGE, "info")).reason == "its last call has not come back yet"
    side.release.set()
    await poll_until(lambda: not channel.busy)
    assert (await channel.send(MESSAGE, "info")).ok


async def test_after_an_outage_a_notice_is_sent_and_only_once(world: World, side: OtherSide) -> None:
    await world.write("one")
    side.statuses = [500, 503]
    for pause_s in (10, 20):
        assert await world.send() == 1
        assert await world.send() == 0
        await world.pass_time(pause_s - 1)
        assert await world.send() == 0
        await world.pass_time(1)
    assert (await world.send(), await world.send()) == (1, 0)
    [notice] = await world.notices()
    assert (side.titles, notice["attempts"], notice["reason"]) == (["one"], 3, None)
    assert notice["sent_at"] is not None
    counted = [
        world.registry.get_sample_value(
            "fluxline_collector_alert_notices_total", {"channel": "json", "outcome": outcome}
        )
        for outcome in ("sent", "again", "failed")
    ]
    assert counted == [1, 2, None]


async def test_a_refused_notice_is_final_and_the_next_one_goes_out(world: World, side: OtherSide) -> None:
    await world.write("refused", "taken")
    side.statuses = [404]
    assert await world.send() == 2
    refused, taken = await world.notices()
    assert (refused["reason"], side.titles) == ("it answered with the HTTP status 404", ["taken"])
    assert (refused["failed_at"] is not None, taken["sent_at"] is not None) == (True, True)
    await world.pass_time(3600)
    assert await world.send() == 0


async def test_notices_go_out_in_their_order_after_an_outage(world: World, side: OtherSide) -> None:
    await world.write("first", "second")
    side.statuses = [500]
    await world.send()
    await world.write("third")
    assert (await world.send(), side.titles) == (0, [])
    await world.pass_time(10)
    assert (await world.send(), side.titles) == (3, ["first", "second", "third"])


async def test_a_process_that_dies_between_taking_and_sending_lets_it_be_sent_once_more(
    world: World, side: OtherSide
) -> None:
    await world.write("one")
    outbox, [channel] = world.outbox(), world.channels
    assert await outbox._take(channel) is not None  # and then the process is gone
    assert await world.send() == 0
    await world.pass_time(60)
    assert (await world.send(), side.titles) == (1, ["one"])


async def test_a_process_that_dies_after_sending_sends_it_once_more(world: World, side: OtherSide) -> None:
    await world.write("one")
    [channel] = world.channels
    row = await world.outbox()._take(channel)
    assert row is not None
    await channel.send(Message(row["title"], row["body"]), "warning")
    await world.pass_time(60)
    assert (await world.send(), await world.send(), side.titles) == (1, 0, ["one", "one"])


async def test_replicas_send_a_notice_once(world: World, side: OtherSide) -> None:
    await world.write(*(f"{number}" for number in range(10)))
    [channel] = world.channels
    others = [World(world.database, side) for _ in range(3)]
    for _ in range(10):
        await asyncio.gather(*(one.outbox().send_due(channel) for one in (world, *others)))
    assert side.titles == [f"{number}" for number in range(10)]


async def test_a_dead_channel_does_not_hold_up_another(database: Database, side: OtherSide) -> None:
    with other_side() as dead:
        dead.statuses = [0] * 50
        world = World(database, dead, side)
        for channel in world.channels:
            await world.write("one", "two", channel=channel)
        running = asyncio.create_task(world.outbox().run())
        try:
            await poll_until(lambda: side.titles == ["one", "two"])
            assert dead.titles == []
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_notice_is_given_up_after_a_day(world: World, side: OtherSide) -> None:
    await world.write("old")
    side.statuses = [500]
    await world.send()
    await world.database.pool.execute(
        "INSERT INTO alert_notices (kind, severity, channel, title, body) VALUES ('opened', 'info', 'gone', 'x', 'x')"
    )
    await world.pass_time(86_401)
    assert await world.send() == 0
    await world.outbox().give_up()
    assert [notice["reason"] for notice in await world.notices()] == [
        "it answered with the HTTP status 500", "its channel is not configured any more",
    ]  # fmt: skip
    assert all(notice["failed_at"] for notice in await world.notices())


def test_pauses_grow_to_a_quarter_of_an_hour() -> None:
    pauses = [pause_after(attempts) for attempts in (1, 2, 3, 7, 8, 500)]
    assert pauses == [timedelta(seconds=seconds) for seconds in (10, 20, 40, 640, 900, 900)]


@pytest.fixture
async def app(
    nats: NatsServer, jetstream: JetStreamContext, database: Database, side: OtherSide, tmp_path: Path
) -> FastAPI:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rules]]\nname = "all"\nkind = "failure"\nseverity = "critical"\ngroup_wait = "0s"\nremedy = "Look."\n'
        'labels = { team = "media" }\n'
    )
    settings = CollectorSettings(
        nats_url=nats.url,
        database_url=database.url,  # type: ignore[arg-type]
        token=BEARER,  # type: ignore[arg-type]
        alert_rules=rules,  # type: ignore[arg-type]
        alert_urls=f"{side.url} critical=json://127.0.0.1:9/{TOKEN}",  # type: ignore[arg-type]
        alert_quiet="22:00-22:01 Europe/Berlin",  # type: ignore[arg-type]
        alert_every_s=1,
        log_level="DEBUG",
    )
    _, app = build(settings)
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        LifespanManager(app, shutdown_timeout=20),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://collector",
            headers={"Authorization": f"Bearer {BEARER}"},
        ) as client,
    ):
        yield client


async def test_from_a_failed_job_to_the_channel_and_the_list_without_a_secret(
    client: httpx.AsyncClient, world: World, side: OtherSide
) -> None:
    lines = StringIO()
    handler = logging.StreamHandler(lines)
    logging.getLogger().addHandler(handler)
    try:
        job = await world.job(message=f"POST /{TOKEN} did not answer")
        await poll_until(lambda: side.messages, timeout_s=20)
        page = AlertIncidentPage.model_validate((await client.get("/v1/alerts", params={"status": "open"})).json())
        [incident] = page.items
        assert (incident.rule, incident.jobs, incident.labels) == ("all", [job], {"team": "media"})
        assert incident.message == "POST /(redacted) did not answer"
        tested = (await client.post("/v1/alerts/test")).json()
        metrics = (await client.get("/metrics")).text
        await poll_until(lambda: "notice.not_sent" in lines.getvalue())
    finally:
        logging.getLogger().removeHandler(handler)
    assert [(one.channel, one.ok, one.reason) for one in AlertTest.model_validate(tested).channels] == [
        ("json 1", True, None), ("json 2", False, "it cannot be reached, or does not answer"),
    ]  # fmt: skip
    assert side.titles[-1].startswith("[test]")
    assert "fluxline_collector_alert_evaluation_age_seconds" in metrics
    shown = lines.getvalue() + metrics + page.model_dump_json() + json.dumps(tested) + await everything(world.database)
    assert TOKEN not in shown


async def everything(database: Database) -> str:
    """All rows that alerts have written."""
    tables = ("alert_incidents", "alert_notices", "alert_held", "alert_marks")
    return repr([dict(row) for name in tables for row in await database.pool.fetch(f"SELECT * FROM {name}")])


async def test_incidents_come_in_pages_newest_first(client: httpx.AsyncClient, world: World) -> None:
    stages = ("zip_creation", "replicate_training", "huggingface_upload")
    for stage in stages:
        await world.job(stage=stage)

    async def all_three() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await client.get("/v1/alerts")).json().get("items", [])
        return items if len(items) == 3 else []

    items = await poll_until(all_three)
    first = (await client.get("/v1/alerts", params={"limit": 2})).json()
    second = (await client.get("/v1/alerts", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert ([*first["items"], *second["items"]], second["next_cursor"]) == (items, None)
    assert (await client.get("/v1/alerts", params={"status": "resolved"})).json()["items"] == []
    for wrong in ({"cursor": "x"}, {"cursor": 2**63}, {"limit": 0}, {"status": "pending"}):
        assert (await client.get("/v1/alerts", params=wrong)).status_code == 422


async def test_the_rules_are_told_with_the_channels_and_never_their_addresses(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/alerts/rules")
    told = AlertRules.model_validate(answer.json())
    [rule] = told.items
    assert (rule.name, rule.condition, rule.group_by) == ("all", "a job fails", ["stage", "category"])
    assert [(one.channel, one.severities) for one in told.channels] == [
        ("json 1", ["info", "warning", "critical"]), ("json 2", ["critical"]),
    ]  # fmt: skip
    assert told.quiet_hours == "22:00-22:01 Europe/Berlin"
    assert TOKEN not in answer.text


async def test_without_the_token_nothing_is_told_or_sent(app: FastAPI, side: OtherSide) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://collector") as stranger:
        for method, path in (("GET", ""), ("GET", "/rules"), ("POST", "/test")):
            assert (await stranger.request(method, f"/v1/alerts{path}")).status_code == 401
    assert side.messages == []
