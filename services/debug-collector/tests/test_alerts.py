"""Rules over real tables: what becomes an incident, once, grouped, and told to the right channels at the right hour."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import COLLECTOR
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_collector.alerts.observations import Backlog
from fluxline_collector.alerts.quiet import QuietHours
from fluxline_collector.alerts.retention import AlertRetention
from fluxline_collector.alerts.rule_file import default_rules
from fluxline_collector.alerts.sight import BLIND, Sight, StreamSight
from fluxline_collector.alerts.wording import plain
from servers import NatsServer

from .alert_world import CURRENT, OtherSide, World, other_side

FAILURES = {"kind": "failure", "severity": "critical", "group_wait": "0s"}


@pytest.fixture
async def side() -> AsyncIterator[OtherSide]:
    with other_side() as side:
        yield side


@pytest.fixture
def world(database: Database, side: OtherSide) -> World:
    return World(database, side)


async def test_failures_of_a_minute_are_one_notice_with_their_number_and_jobs(world: World, side: OtherSide) -> None:
    policy = world.policy(FAILURES | {"group_wait": "1m"})
    jobs = []
    for _ in range(3):
        jobs += [await world.job() for _ in range(4)]
        await world.evaluate(policy)
        await world.pass_time(100)
    await world.evaluate(policy)
    assert [notice["kind"] for notice in await world.notices()] == ["opened"]
    assert await world.send() == 1
    [message] = side.messages
    assert message["title"] == "[critical] Publishing fails: authentication (8 jobs in 2 min)"
    for part in ("Hugging Face does not accept the token.", "8 times", "newest 5 of 8", "Look.", "Since"):
        assert part in message["message"]
    assert f"http://studio.example/trainings/{jobs[7]}" in message["message"]
    assert str(jobs[0]) not in message["message"]
    [incident] = await world.incidents()
    assert (incident["count"], incident["told"], incident["jobs"]) == (12, 8, jobs[-5:])


async def test_a_failure_is_counted_once_whoever_looks_and_whenever(world: World) -> None:
    policy = world.policy(FAILURES)
    job = await world.job()
    for _ in range(3):
        assert await world.evaluate(policy)
    assert [one["count"] for one in await world.incidents()] == [1]
    await world.job("running", training_id=job)
    await world.job("failed", training_id=job)
    await world.evaluate(policy)
    assert [one["count"] for one in await world.incidents()] == [2]
    assert len(await world.notices()) == 1


async def test_two_replicas_that_look_at_once_write_one_notice(world: World) -> None:
    policy = world.policy(FAILURES, {"kind": "stuck", "silent": "1m"})
    await world.job()
    await world.job("running", age_s=600)
    done = await asyncio.gather(*(world.evaluate(policy) for _ in range(6)))
    assert any(done)
    assert sorted(notice["severity"] for notice in await world.notices()) == ["critical", "warning"]


async def test_a_replica_takes_over_when_the_one_that_looks_is_gone(world: World, database: Database) -> None:
    policy = world.policy(FAILURES)
    await world.job()
    async with database.pool.acquire() as connection:
        dead = connection.transaction()
        await dead.start()
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('fluxline_collector.alerts', 0))")
        assert not await world.evaluate(policy)
        await dead.rollback()
    assert await world.evaluate(policy)
    assert len(await world.notices()) == 1


async def test_between_two_evaluations_lies_the_interval(world: World) -> None:
    policy = world.policy(FAILURES)
    patient = type(policy)(policy.rules, every_s=60)
    assert await world.evaluate(patient)
    assert not await world.evaluate(patient)
    await world.pass_time(60)
    assert await world.evaluate(patient)


async def test_failures_from_before_alerts_and_from_long_ago_are_no_news(world: World, database: Database) -> None:
    await world.job(age_s=3600)
    await world.evaluate(world.policy(FAILURES))
    await database.pool.execute("UPDATE alert_marks SET began_at = now() - interval '30 days'")
    await world.job(age_s=4 * 86_400)
    await world.evaluate(world.policy(FAILURES))
    assert [one["count"] for one in await world.incidents()] == [1]


async def test_filters_and_groups_say_who_is_meant(world: World) -> None:
    by_provider = FAILURES | {"group_by": ["provider"], "stage": "huggingface_upload", "category": ["authentication"]}
    job = uuid4()
    await world.attempt(training_id=job)
    await world.job(training_id=job)
    await world.job(category="network")
    await world.job(stage="zip_creation")
    policy = world.policy(by_provider, FAILURES | {"name": "all", "group_by": []})
    await world.evaluate(policy)
    first, second = await world.incidents()
    assert (first["fields"], first["count"], first["jobs"]) == ({"provider": "huggingface"}, 1, [job])
    assert (second["fields"], second["count"]) == ({}, 3)
    assert second["title"] == "Jobs fail (3 jobs)"


async def test_generations_fail_too(world: World) -> None:
    generation = uuid4()
    await world.attempt("retried", stage="image_generation", generation_id=generation)
    await world.attempt(stage="image_generation", category="content_policy", generation_id=generation)
    await world.evaluate(world.policy(FAILURES))
    [incident] = await world.incidents()
    assert (incident["title"].partition(" (")[0], incident["jobs"]) == (
        "Image generation fails: content_policy", [generation],
    )  # fmt: skip


async def test_a_rate_needs_its_number_its_share_and_its_window(world: World) -> None:
    rule = {"kind": "rate", "window": "5m", "at_least": 3, "share": 0.5}
    policy = world.policy(rule)
    jobs = [await world.attempt("retried") for _ in range(2)]
    await world.attempt("failed", age_s=301)
    await world.evaluate(policy)
    assert await world.incidents() == []
    jobs.append(await world.attempt("failed"))
    for _ in range(4):
        await world.attempt("succeeded")
    await world.evaluate(policy)
    assert await world.incidents() == []
    await world.evaluate(world.policy(rule | {"share": 0.4}))
    [incident] = await world.incidents()
    assert incident["title"] == "Publishing fails: network (3 of 7 attempts in 5 min)"
    assert sorted(incident["jobs"]) == sorted(jobs)


async def test_a_rate_recovers_and_says_so(world: World, side: OtherSide) -> None:
    policy = world.policy({"kind": "rate", "window": "5m", "at_least": 1, "resolve_after": "10m"})
    await world.attempt("retried")
    await world.evaluate(policy)
    await world.database.pool.execute("UPDATE attempts SET stored_at = stored_at - interval '6 minutes'")
    await world.evaluate(policy)
    await world.pass_time(601)
    await world.evaluate(policy)
    await world.evaluate(policy)
    await world.send()
    assert [title.partition("]")[0] for title in side.titles] == ["[warning", "[resolved"]
    assert (len(await world.incidents("resolved")), await world.incidents()) == (1, [])
    await world.attempt("retried")
    await world.evaluate(policy)
    assert len(await world.incidents()) == 1


async def test_a_job_is_stuck_when_it_is_silent_for_too_long_for_its_stage(world: World) -> None:
    usual = {"kind": "stuck"}
    stuck = await world.job("running", stage="zip_creation", age_s=601)
    await world.job("running", stage="zip_creation", age_s=30)
    await world.job("succeeded", stage="zip_creation", age_s=601)
    await world.evaluate(world.policy(usual))
    [incident] = await world.incidents()
    assert incident["title"] == "1 job stuck at ZIP creation (silent for 10 min)"
    assert incident["jobs"] == [stuck]
    await world.evaluate(world.policy(usual | {"silent": "20s"}))
    assert [one["count"] for one in await world.incidents()] == [2]


@pytest.mark.parametrize("sight", [BLIND, Sight([Backlog("collector", 9, 61.0)], {})], ids=["no NATS", "behind"])
async def test_what_cannot_be_seen_is_neither_stuck_nor_resolved(world: World, sight: Sight) -> None:
    policy = world.policy(
        FAILURES, {"kind": "stuck", "silent": "1m"}, {"kind": "lag", "messages": 5, "durable": "zipper"}
    )
    world.sight.sight = Sight([Backlog("collector", 0, 0), Backlog("zipper", 7, 20.0)], {})
    await world.job()
    await world.evaluate(policy)
    await world.job("running", age_s=600)
    world.sight.sight = sight
    await world.pass_time(86_000)
    await world.evaluate(policy)
    open_ones = [one["rule"] for one in await world.incidents()]
    assert open_ones == (["failure", "lag"] if sight is BLIND else ["failure"])
    world.sight.sight = CURRENT
    await world.evaluate(policy)
    assert [one["rule"] for one in await world.incidents()] == ["stuck"]


async def test_dead_letters_are_told_by_depth_or_when_there_are_more(world: World) -> None:
    letters = {"kind": "dead_letters", "group_wait": "0s"}
    policy = world.policy(letters | {"name": "new", "growing": True}, letters | {"name": "many", "at_least": 5})
    titles = []
    for depths in ({"trainer": 4}, {"trainer": 4}, {"trainer": 6}, {"trainer": 5, "zipper": 1}):
        world.sight.sight = Sight(CURRENT.backlogs, depths)
        await world.evaluate(policy)
        titles.append({f"{one['rule']}: {one['title']}" for one in await world.incidents()})
    assert titles == [
        set(),
        set(),
        {"new: 2 new dead letters of trainer", "many: 6 dead letters of trainer"},
        {"new: 2 new dead letters of trainer", "many: 5 dead letters of trainer", "new: 1 new dead letter of zipper"},
    ]


async def test_lost_events_are_told_once(world: World) -> None:
    policy = world.policy({"kind": "loss", "severity": "critical"})
    mark = """
    INSERT INTO stream_marks VALUES ('EVENTS', now(), 0, now(), 0, now(), 0, $1)
    ON CONFLICT (stream) DO UPDATE SET lost = $1
    """
    counts = []
    for lost in (3, 3, 5, 5):
        await world.database.pool.execute(mark, lost)
        await world.evaluate(policy)
        counts.append([one["count"] for one in await world.incidents()])
    assert counts == [[], [], [2], [2]]


async def test_a_rule_that_is_gone_takes_its_incidents_along_without_a_word(world: World) -> None:
    await world.job()
    await world.evaluate(world.policy(FAILURES))
    await world.pass_time(3700)
    await world.evaluate(world.policy({"kind": "stuck"}))
    assert (await world.incidents(), len(await world.notices())) == ([], 1)


async def test_a_pending_condition_that_goes_leaves_nothing(world: World) -> None:
    policy = world.policy({"kind": "lag", "messages": 5, "for": "2m"})
    world.sight.sight = Sight([Backlog("collector", 0, 0), Backlog("zipper", 7, 20.0)], {})
    await world.evaluate(policy)
    assert len(await world.incidents("pending")) == 1
    world.sight.sight = CURRENT
    await world.evaluate(policy)
    assert await world.incidents("pending") == []


def hours(around: timedelta) -> QuietHours:
    """Two quiet hours, which the present lies in or not."""
    middle = datetime.now(UTC) + around
    begin, end = (middle + timedelta(hours=n) for n in (-1, 1))
    return QuietHours(_minute(begin), _minute(end), ZoneInfo("UTC"))


def _minute(at: datetime) -> time:
    return at.time().replace(second=0, microsecond=0)


async def test_in_quiet_hours_only_what_is_critical_is_told_and_the_rest_is_one_digest(
    world: World, side: OtherSide
) -> None:
    rules = (FAILURES, {"kind": "stuck", "silent": "1m"}, {"kind": "lag", "messages": 5, "severity": "info"})
    world.sight.sight = Sight([Backlog("collector", 0, 0), Backlog("zipper", 7, 20.0)], {})
    await world.job()
    await world.job("running", age_s=600)
    night = world.policy(*rules, quiet=hours(timedelta(0)))
    for _ in range(2):
        await world.evaluate(night)
        await world.send()
    assert [title.partition("]")[0] for title in side.titles] == ["[critical"]
    morning = world.policy(*rules, quiet=hours(timedelta(hours=6)))
    for _ in range(2):
        await world.evaluate(morning)
        await world.send()
    [_, digest] = side.messages
    assert digest["title"] == "[digest] 2 alerts during quiet hours"
    assert "[warning] 1 job stuck at Publishing" in digest["message"]
    assert "[info] zipper is behind" in digest["message"]


async def test_a_channel_gets_its_severities_alone_in_digests_too(database: Database, side: OtherSide) -> None:
    with other_side() as other:
        urgent = World(database, side, other)
        side.url, url = f"critical={side.url}", other.url
        urgent.channels = World(database, side, other).channels
        assert url == other.url
        rules = (FAILURES, {"kind": "stuck", "silent": "1m"})
        await urgent.job()
        await urgent.job("running", age_s=600)
        await urgent.evaluate(urgent.policy(*rules, quiet=hours(timedelta(0))))
        await urgent.evaluate(urgent.policy(*rules))
        await urgent.send()
        assert [title.partition("]")[0] for title in side.titles] == ["[critical"]
        assert [title.partition("]")[0] for title in other.titles] == ["[critical", "[digest"]


async def test_words_of_others_are_no_markup_and_hold_no_secret(world: World, side: OtherSide) -> None:
    secret = "hf_" + "A1b2C3d4E5" * 4
    message = f"<!channel> @everyone [click](https://evil.example) `x` **b** {secret}\n# Title\x1b[2J"
    await world.job(message=message, stage="<@U123>")
    await world.evaluate(world.policy(FAILURES))
    await world.send()
    [told] = side.messages
    text = told["title"] + told["message"]
    for bad in ("<!", "<@", "@everyone", "](https://evil", "https://evil", "`x`", "**b**", secret, "\n# ", "\x1b"):
        assert bad not in text
    assert "evil.example" in text
    assert plain("a\nb <c>") == "a b ‹c›"


async def test_a_failing_evaluation_is_seen_in_the_metrics(world: World, database: Database) -> None:
    policy = world.policy(FAILURES)
    await world.job()
    await world.evaluator(policy).work()
    assert world.registry.get_sample_value("fluxline_collector_alert_incidents", {"severity": "critical"}) == 1
    failures, age = (
        "fluxline_collector_alert_evaluation_failures_total",
        "fluxline_collector_alert_evaluation_age_seconds",
    )
    assert world.registry.get_sample_value(failures) == 0
    assert (world.registry.get_sample_value(age) or 0) < 30
    world.sight.sight = BLIND
    await world.evaluator(policy).work()
    assert world.registry.get_sample_value(failures) == 1
    world.sight.sight = CURRENT
    await database.pool.execute("ALTER TABLE alert_failures RENAME TO gone")
    with pytest.raises(Exception, match="alert_failures"):
        await world.evaluator(policy).work()
    assert world.registry.get_sample_value(failures) == 2
    await database.pool.execute("ALTER TABLE gone RENAME TO alert_failures")


async def test_retention_drops_what_is_over(world: World, database: Database) -> None:
    policy = world.policy({"kind": "rate", "window": "5m", "at_least": 1, "resolve_after": "1m"})
    await world.attempt("retried")
    await world.evaluate(policy)
    await database.pool.execute("DELETE FROM attempts")
    await world.pass_time(61)
    await world.evaluate(policy)
    await AlertRetention(database).sweep()
    assert (len(await world.incidents("resolved")), len(await world.notices())) == (1, 2)
    await database.pool.execute("UPDATE alert_incidents SET resolved_at = now() - interval '91 days'")
    await AlertRetention(database).sweep()
    assert (await world.incidents("resolved"), await world.notices()) == ([], [])


@pytest.fixture
async def bus(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Bus]:
    bus = Bus("test", nats.url, make_tracer_provider("test", None))
    await bus.broker.connect()
    await bus.broker.start()
    yield bus
    bus.stopping = True
    await bus.broker.stop()


async def test_the_streams_tell_who_is_behind_and_what_was_given_up(bus: Bus, jetstream: JetStreamContext) -> None:
    for subject in ("model.published", "zip.created", "zip.created", "training.requested", "stage.started"):
        await jetstream.publish(subject, b"{}")
    for subject in ("dlq.trainer", "dlq.trainer", "dlq.zipper"):
        await jetstream.publish(subject, b"{}")
    sight = await StreamSight(bus).look()
    found = {one.durable: one for one in sight.backlogs or ()}
    messages = {
        name: found[name].messages for name in ("collector", "trainer", "zipper", "publisher", "trainer-timers")
    }
    assert messages == {"collector": 5, "trainer": 2, "zipper": 1, "publisher": 0, "trainer-timers": 0}
    assert 0 < found["trainer"].age_s < 60
    assert sight.behind_s == found["collector"].age_s
    assert sight.depths == {"trainer": 2, "zipper": 1}
    subscription = await jetstream.pull_subscribe_bind(COLLECTOR.durable, stream="EVENTS")
    await subscription.fetch(5, timeout=2)
    await subscription.unsubscribe()
    assert (await StreamSight(bus).look()).behind_s == 0


async def test_without_nats_the_sight_is_blind_and_rules_over_tables_go_on(world: World, database: Database) -> None:
    lost = Bus("test", "nats://127.0.0.1:1", make_tracer_provider("test", None))
    assert await StreamSight(lost).look() is BLIND
    world.sight.sight = await StreamSight(lost).look()
    await world.job()
    await world.evaluate(world.policy(FAILURES))
    assert len(await world.notices()) == 1


async def test_the_default_rules_can_be_evaluated(world: World) -> None:
    policy = type(world.policy(FAILURES))(default_rules(), world.channels, every_s=0)
    for category in ("authentication", "network", "validation"):
        await world.job(category=category)
    for _ in range(12):
        await world.attempt("retried")
    assert await world.evaluate(policy)
    assert await world.evaluate(policy)
    opened: list[Any] = [one["rule"] for one in await world.incidents()]
    assert sorted(opened) == ["error-rate", "failures", "failures-to-mend", "refused-input"]
