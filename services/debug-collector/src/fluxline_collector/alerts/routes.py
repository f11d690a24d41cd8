"""Alerts over HTTP: incidents, rules, a test of the channels. For the gateway and for operators."""

import asyncio
import json
from typing import Annotated, Final

import asyncpg
from fastapi import APIRouter, Depends, Query
from pydantic import SecretStr

from fluxline.contracts.alerts import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    AlertChannel,
    AlertChannelTest,
    AlertIncident,
    AlertIncidentPage,
    AlertRule,
    AlertRules,
    AlertTest,
    IncidentStatus,
)
from fluxline.postgres.pool import Database
from fluxline_collector.alerts.channels import Channel
from fluxline_collector.alerts.evaluator import Policy
from fluxline_collector.alerts.rules import AnyRule
from fluxline_collector.alerts.wording import plain, test_message
from fluxline_collector.api import bearer

MOST: Final = 2**63 - 1
_INCIDENTS: Final = """
SELECT * FROM alert_incidents
WHERE state <> 'pending' AND ($1::text IS NULL OR state = $1) AND id < $2 ORDER BY id DESC LIMIT $3
"""
Cursor = Annotated[int | None, Query(ge=1, le=MOST, description="`next_cursor` of the page before")]


def router(database: Database, policy: Policy, token: SecretStr) -> APIRouter:
    """The routes, each behind the bearer token."""
    routes = APIRouter(prefix="/v1/alerts", dependencies=[Depends(bearer(token))], tags=["alerts"])

    @routes.get("")
    async def list_incidents(
        status: IncidentStatus | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> AlertIncidentPage:
        """What rules have found, newest first."""
        rows = await database.pool.fetch(_INCIDENTS, status, cursor or MOST, limit + 1)
        items = [_incident(row) for row in rows[:limit]]
        return AlertIncidentPage(items=items, next_cursor=str(items[-1].id) if len(rows) > limit else None)

    @routes.get("/rules")
    async def list_rules() -> AlertRules:
        """The rules in force, and where their notices go."""
        return AlertRules(
            items=[_rule(rule) for rule in policy.rules.rules],
            channels=[AlertChannel(channel=one.name, severities=list(one.severities)) for one in policy.channels],
            quiet_hours=str(policy.quiet) if policy.quiet else None,
        )

    @routes.post("/test")
    async def test_channels() -> AlertTest:
        """Send a test notice through every channel now, whatever the hour."""
        return AlertTest(channels=list(await asyncio.gather(*map(_test, policy.channels))))

    return routes


async def _test(channel: Channel) -> AlertChannelTest:
    delivery = await channel.send(test_message(), "info")
    severities = list(channel.severities)
    return AlertChannelTest(channel=channel.name, severities=severities, ok=delivery.ok, reason=delivery.reason)


def _incident(row: asyncpg.Record) -> AlertIncident:
    messages: dict[str, int] = json.loads(row["messages"])
    facts = {name: row[name] for name in AlertIncident.model_fields if name in row}
    most_frequent = max(messages, key=lambda text: messages[text], default=None)
    return AlertIncident(
        **facts
        | {
            "status": row["state"],
            "fields": json.loads(row["fields"]),
            "labels": json.loads(row["labels"]),
            "message": plain(most_frequent) if most_frequent else None,
        }
    )


def _rule(rule: AnyRule) -> AlertRule:
    facts = {name: getattr(rule, name) for name in AlertRule.model_fields if name != "condition"}
    return AlertRule(condition=rule.condition(), **facts)
