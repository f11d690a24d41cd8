"""The tables of alerts, as the one that evaluates writes them: all in its own transaction."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from fluxline.contracts.alerts import Severity
from fluxline.contracts.catalog import EVENTS_STREAM
from fluxline.postgres.pool import Connection
from fluxline_collector.alerts.incidents import Incident
from fluxline_collector.alerts.observations import Fields
from fluxline_collector.alerts.rules import AnyRule
from fluxline_collector.alerts.wording import Message

_LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('fluxline_collector.alerts', 0))"
_BEGIN: Final = "INSERT INTO alert_marks DEFAULT VALUES ON CONFLICT DO NOTHING"
_MARKS: Final = """
SELECT began_at, evaluated_at, lost, letters, now() AS now,
    coalesce((SELECT m.lost FROM stream_marks AS m WHERE m.stream = $1), 0) AS lost_now FROM alert_marks
"""
_SET_MARKS: Final = """
UPDATE alert_marks SET evaluated_at = now(), lost = $1, letters = coalesce($2::jsonb, letters)
"""
_STANDING: Final = "SELECT * FROM alert_incidents WHERE state <> 'resolved' ORDER BY id"
_COLUMNS: Final = (
    *("rule", "kind", "severity", "fields", "labels", "remedy", "title", "state", "since", "last_seen_at"),
    *("opened_at", "notified_at", "resolved_at", "count", "told", "jobs", "messages", "figures"),
)
_INSERT: Final = f"""
INSERT INTO alert_incidents ({", ".join(_COLUMNS)})
VALUES ({", ".join(f"${n}" for n in range(1, len(_COLUMNS) + 1))}) RETURNING id
"""  # noqa: S608 – names of our own columns
_UPDATE: Final = f"""
UPDATE alert_incidents SET {", ".join(f"{name} = ${n}" for n, name in enumerate(_COLUMNS, start=1))}
WHERE id = ${len(_COLUMNS) + 1}
"""  # noqa: S608 – names of our own columns
_DROP: Final = "DELETE FROM alert_incidents WHERE id = $1"
_END_OLD: Final = """
UPDATE alert_incidents SET state = 'resolved', resolved_at = now(), opened_at = coalesce(opened_at, since)
WHERE state <> 'resolved' AND NOT rule = ANY ($1::text[]) AND last_seen_at < now() - interval '1 hour'
"""
_NOTICE: Final = """
INSERT INTO alert_notices (incident_id, kind, severity, channel, title, body)
SELECT $1, $2, $3, channel, $5, $6 FROM unnest($4::text[]) AS each_of (channel)
"""
_HOLD: Final = "INSERT INTO alert_held (severity, title) VALUES ($1, $2)"
_TAKE_HELD: Final = "WITH taken AS (DELETE FROM alert_held RETURNING *) SELECT * FROM taken ORDER BY id"


@dataclass(frozen=True)
class Standing:
    """An incident that is not resolved, and the id of its row."""

    id: int
    incident: Incident


class IncidentStore:
    """Reads and writes within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lock(self) -> bool:
        """Be the only one until the end of the transaction; False where another one is."""
        return bool(await self._connection.fetchval(_LOCK))

    async def marks(self) -> Mapping[str, Any]:
        """What was seen at the last evaluation, and `now`."""
        await self._connection.execute(_BEGIN)
        [row] = await self._connection.fetch(_MARKS, EVENTS_STREAM.name)
        return {**row, "letters": json.loads(row["letters"]) if row["letters"] else None}

    async def set_marks(self, lost: int, letters: Mapping[str, int] | None) -> None:
        """Remember what was seen now; dead letters as they were where they could not be seen."""
        await self._connection.execute(_SET_MARKS, lost, None if letters is None else json.dumps(dict(letters)))

    async def standing(self) -> dict[tuple[str, Fields], Standing]:
        """All that is not resolved, by rule and group."""
        rows = await self._connection.fetch(_STANDING)
        found = [(row["rule"], Standing(row["id"], incident_of(row))) for row in rows]
        return {(rule, one.incident.fields): one for rule, one in found}

    async def save(self, rule: AnyRule, incident: Incident, title: str, known: Standing | None) -> int:
        """Write the incident; returns the id of its row."""
        values = _values(rule, incident, title)
        if known is None:
            return int(await self._connection.fetchval(_INSERT, *values))
        await self._connection.execute(_UPDATE, *values, known.id)
        return known.id

    async def drop(self, known: Standing) -> None:
        """Forget a pending incident that never opened."""
        await self._connection.execute(_DROP, known.id)

    async def end_those_without(self, rules: Iterable[str]) -> None:
        """Resolve without a notice what belongs to rules that are gone."""
        await self._connection.execute(_END_OLD, list(rules))

    async def write(
        self, incident_id: int | None, kind: str, severity: Severity, channels: Sequence[str], message: Message
    ) -> None:
        """Put a notice into the outbox, for each channel."""
        facts = (incident_id, kind, severity, list(channels), message.title, message.body)
        await self._connection.execute(_NOTICE, *facts)

    async def hold(self, severity: Severity, title: str) -> None:
        """Keep the notice for the next digest."""
        await self._connection.execute(_HOLD, severity, title)

    async def take_held(self) -> list[tuple[Severity, str]]:
        """What was kept, oldest first; it is kept no longer."""
        return [(row["severity"], row["title"]) for row in await self._connection.fetch(_TAKE_HELD)]


def incident_of(row: asyncpg.Record) -> Incident:
    """The incident of a row."""
    fields: dict[str, str] = json.loads(row["fields"])
    times: dict[str, datetime] = {name: row[name] for name in ("since", "last_seen_at", "opened_at", "notified_at")}
    return Incident(
        fields=tuple(sorted(fields.items())),
        state=row["state"],
        resolved_at=row["resolved_at"],
        count=row["count"],
        told=row["told"],
        jobs=tuple(row["jobs"]),
        messages=json.loads(row["messages"]),
        figures=json.loads(row["figures"]),
        **times,
    )


def _values(rule: AnyRule, incident: Incident, title: str) -> list[Any]:
    facts = asdict(incident) | {
        "rule": rule.name,
        "kind": rule.kind,
        "severity": rule.severity,
        "remedy": rule.remedy,
        "title": title,
        "labels": json.dumps(rule.labels),
        "fields": json.dumps(dict(incident.fields)),
        "jobs": list(incident.jobs),
        "messages": json.dumps(incident.messages),
        "figures": json.dumps(incident.figures),
    }
    return [facts[name] for name in _COLUMNS]
