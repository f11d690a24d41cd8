"""What the debug-collector tells of its alerts. It and who passes it on share these.

Times are aware, durations are seconds. Texts hold no secret, but may hold anything else: escape them.
"""

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")
"""From the least to the most urgent."""
RuleKind = Literal["failure", "rate", "stuck", "dead_letters", "lag", "loss"]
IncidentStatus = Literal["open", "resolved"]
MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 50

_INCIDENT: Final[dict[str, Any]] = {
    "id": 17,
    "rule": "failures-to-mend",
    "kind": "failure",
    "severity": "critical",
    "status": "open",
    "title": "Publishing fails: authentication (12 jobs in 5 min)",
    "fields": {"category": "authentication", "stage": "huggingface_upload"},
    "count": 12,
    "jobs": ["7a1a1a60-0000-4000-8000-000000000001"],
    "message": "Hugging Face does not accept the token.",
    "remedy": "Mend the key, the account or the service that the message names, then retry the jobs.",
    "labels": {"team": "media"},
    "opened_at": "2026-11-25T10:00:00Z",
    "last_seen_at": "2026-11-25T10:05:00Z",
    "notified_at": "2026-11-25T10:01:00Z",
    "resolved_at": None,
}
_RULE: Final[dict[str, Any]] = {
    "name": "failures-to-mend",
    "kind": "failure",
    "severity": "critical",
    "condition": "a job fails with authentication, billing or internal",
    "group_by": ["stage", "category"],
    "for_s": 0.0,
    "group_wait_s": 60.0,
    "resolve_after_s": 900.0,
    "repeat_after_s": 14_400.0,
    "labels": {"team": "media"},
    "remedy": "Mend the key, the account or the service that the message names, then retry the jobs.",
}
_CHANNEL: Final[dict[str, Any]] = {
    "channel": "discord 1",
    "severities": ["critical"],
    "ok": True,
    "reason": None,
}


def _shown(**example: Any) -> ConfigDict:
    shown: JsonDict = {"examples": [example]}
    return ConfigDict(json_schema_extra=shown)


class AlertIncident(BaseModel):
    """One condition of a rule, of one group, from when it began to hold until it has gone for a while."""

    model_config = _shown(**_INCIDENT)

    id: int
    rule: str = Field(description="name of the rule")
    kind: RuleKind
    severity: Severity
    status: IncidentStatus
    title: str
    fields: dict[str, str] = Field(description="what the rule groups by, and the values of this group")
    count: int = Field(description="failures, lost events or new dead letters so far; else how many there are now")
    jobs: list[UUID] = Field(description="trainings and generations it is about, the newest five")
    message: str | None = Field(description="the most frequent message of the failures")
    remedy: str
    labels: dict[str, str]
    opened_at: datetime
    last_seen_at: datetime = Field(description="when the condition was last seen to hold")
    notified_at: datetime | None = Field(description="when a notice of it was last written; null before the first")
    resolved_at: datetime | None


class AlertIncidentPage(BaseModel):
    """Incidents, newest first; `next_cursor` is null on the last page."""

    model_config = _shown(items=[_INCIDENT], next_cursor=None)

    items: list[AlertIncident]
    next_cursor: str | None


class AlertRule(BaseModel):
    """One rule, as it is in force."""

    model_config = _shown(**_RULE)

    name: str
    kind: RuleKind
    severity: Severity
    condition: str = Field(description="what it looks for, in words")
    group_by: list[str] = Field(description="each combination of these is an incident of its own")
    for_s: float = Field(description="seconds that the condition must hold before an incident opens")
    group_wait_s: float = Field(description="seconds in which more of the same is collected into the first notice")
    resolve_after_s: float = Field(description="seconds that the condition must have gone before it counts as resolved")
    repeat_after_s: float = Field(description="seconds after a notice before another one of the same incident")
    labels: dict[str, str]
    remedy: str


class AlertRules(BaseModel):
    """All rules, and where their notices go. No address of a channel is told, since it is a secret."""

    model_config = _shown(
        items=[_RULE],
        channels=[{"channel": "discord 1", "severities": ["critical"]}],
        quiet_hours="22:00-07:00 Europe/Berlin",
    )

    items: list[AlertRule]
    channels: list["AlertChannel"]
    quiet_hours: str | None = Field(description="when notices below critical wait for the next digest")


class AlertChannel(BaseModel):
    """Where notices go: named by its kind and its place in COLLECTOR_ALERT_URLS."""

    model_config = _shown(**{name: _CHANNEL[name] for name in ("channel", "severities")})

    channel: str
    severities: list[Severity] = Field(description="the severities of the notices that it gets")


class AlertChannelTest(AlertChannel):
    """What became of a test notice."""

    model_config = _shown(**_CHANNEL)

    ok: bool
    reason: str | None = Field(description="why it failed; null when the channel took it")


class AlertTest(BaseModel):
    """What became of a test notice through every channel; there is none when no channel is configured."""

    model_config = _shown(channels=[_CHANNEL])

    channels: list[AlertChannelTest]
