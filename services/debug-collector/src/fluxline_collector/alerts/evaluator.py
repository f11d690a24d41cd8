"""Evaluates the rules: looks, takes every incident a step further, and writes the notices that are due with it.

One replica does it at a time: who holds an advisory lock for the length of a transaction. When it dies, the lock goes
with its session, nothing of the transaction stays, and another one looks again. All times are PostgreSQL's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

from fluxline.contracts.alerts import SEVERITIES, Severity
from fluxline.postgres.pool import Database
from fluxline_collector.alerts.channels import Channel
from fluxline_collector.alerts.incident_store import IncidentStore, Standing
from fluxline_collector.alerts.incidents import Incident, NoticeKind, Step, Timing, step
from fluxline_collector.alerts.observations import Findings, observe
from fluxline_collector.alerts.quiet import QuietHours
from fluxline_collector.alerts.rules import AnyRule, RuleSet, counts_events
from fluxline_collector.alerts.sight import BLIND, StreamSight
from fluxline_collector.alerts.tables import look
from fluxline_collector.alerts.wording import digest_of, headline_of, message_of
from fluxline_collector.metrics import AlertMetrics

EARLY: Final = 0.5
"""Part of the interval after which another replica's evaluation counts as too long ago."""
_DUE: Final = """
SELECT evaluated_at IS NULL OR evaluated_at < now() - $1::interval FROM alert_marks
"""
_STATE: Final = """
SELECT extract(epoch FROM now() - evaluated_at)::float8 AS age_s,
    (SELECT jsonb_object_agg(severity, count) FROM (
        SELECT severity, count(*) AS count FROM alert_incidents WHERE state = 'open' GROUP BY severity) AS open) AS open
FROM alert_marks
"""


@dataclass(frozen=True)
class Policy:
    """What is looked for, how often, who is told, and when not."""

    rules: RuleSet
    channels: tuple[Channel, ...] = ()
    quiet: QuietHours | None = None
    studio_url: str | None = None
    every_s: float = 15.0

    def channels_for(self, severity: Severity) -> list[str]:
        """Keys of the channels that get notices of this severity."""
        return [channel.key for channel in self.channels if severity in channel.severities]

    @cached_property
    def timings(self) -> dict[str, Timing]:
        """When each rule's incidents open and end."""
        return {rule.name: _timing(rule) for rule in self.rules.rules}


class Evaluator:
    """Looks at everything when it is due, unless another replica does."""

    def __init__(self, database: Database, sight: StreamSight, policy: Policy, metrics: AlertMetrics) -> None:
        self._database = database
        self._sight = sight
        self._policy = policy
        self._metrics = metrics

    async def work(self) -> None:
        """Evaluate if it is due, and tell the metrics how long ago anybody did. Raises when PostgreSQL is away."""
        try:
            if await self._is_due():
                await self.evaluate()
            await self._tell()
        except Exception:
            self._metrics.failures.inc()
            raise

    async def evaluate(self) -> bool:
        """Evaluate all rules now; False when another replica has just done so, or does."""
        sight = await self._sight.look()
        if sight is BLIND:
            self._metrics.failures.inc()
        async with self._database.transaction() as connection:
            store = IncidentStore(connection)
            if not await store.lock():
                return False
            marks = await store.marks()
            if self._is_early(marks):
                return False
            seen = await look(connection, self._policy.rules, sight, marks)
            await _Round(self._policy, store, marks["now"]).run({r.name: observe(r, seen) for r in self._rules})
            await store.set_marks(marks["lost_now"], sight.depths)
        return True

    @property
    def _rules(self) -> Sequence[AnyRule]:
        return self._policy.rules.rules

    async def _is_due(self) -> bool:
        due = await self._database.pool.fetchval(_DUE, timedelta(seconds=self._policy.every_s * EARLY))
        return due is not False

    def _is_early(self, marks: Mapping[str, Any]) -> bool:
        before: datetime | None = marks["evaluated_at"]
        return before is not None and marks["now"] - before < timedelta(seconds=self._policy.every_s * EARLY)

    async def _tell(self) -> None:
        row = await self._database.pool.fetchrow(_STATE)
        if row is not None:
            self._metrics.show(row["age_s"], json.loads(row["open"] or "{}"))


class _Round:
    """One evaluation: every incident taken a step further, within the transaction of `store`."""

    def __init__(self, policy: Policy, store: IncidentStore, now: datetime) -> None:
        self._policy = policy
        self._store = store
        self._now = now
        self._is_quiet = policy.quiet is not None and policy.quiet.hold_at(now)

    async def run(self, findings: dict[str, Findings]) -> None:
        """Take all of them further; send the digest when quiet hours are over."""
        standing = await self._store.standing()
        for rule in self._policy.rules.rules:
            found = {one.fields: one for one in findings[rule.name].observations}
            known = {fields: one for (name, fields), one in standing.items() if name == rule.name}
            for fields in sorted({*found, *known}):
                taken = step(
                    self._policy.timings[rule.name],
                    known[fields].incident if fields in known else None,
                    found.get(fields),
                    self._now,
                    certain=findings[rule.name].certain,
                )
                await self._keep(rule, known.get(fields), taken)
        await self._store.end_those_without(rule.name for rule in self._policy.rules.rules)
        if not self._is_quiet:
            await self._send_held()

    async def _keep(self, rule: AnyRule, known: Standing | None, taken: Step) -> None:
        if taken.incident is None:
            if known is not None:
                await self._store.drop(known)
            return
        title = headline_of(rule, taken.incident)
        incident_id = await self._store.save(rule, taken.incident, title, known)
        if taken.notice is not None:
            await self._notify(rule, incident_id, taken.incident, taken.notice)

    async def _notify(self, rule: AnyRule, incident_id: int, incident: Incident, notice: NoticeKind) -> None:
        message = message_of(rule, incident, notice, self._now, self._policy.studio_url)
        if self._is_quiet and rule.severity != "critical":
            await self._store.hold(rule.severity, message.title)
            return
        await self._store.write(incident_id, notice, rule.severity, self._policy.channels_for(rule.severity), message)

    async def _send_held(self) -> None:
        """One digest for each channel, of what it would have got."""
        held = await self._store.take_held()
        for channel in self._policy.channels:
            titles = [title for severity, title in held if severity in channel.severities]
            if titles:
                worst = max((severity for severity, _ in held), key=SEVERITIES.index)
                digest = digest_of(titles, str(self._policy.quiet or "quiet hours"))
                await self._store.write(None, "digest", worst, [channel.key], digest)


def _timing(rule: AnyRule) -> Timing:
    return Timing(rule.for_s, rule.group_wait_s, rule.resolve_after_s, rule.repeat_after_s, counts_events(rule))
