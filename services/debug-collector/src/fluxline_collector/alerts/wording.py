"""A notice as people read it: a short title, and a body in Markdown: what, since when, which jobs, and what now.

Words of others (messages, names) cannot be markup, a link or a call for attention, and hold no secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from fluxline.contracts.narration import STAGE_NAMES
from fluxline.runtime.redaction import redact_text
from fluxline_collector.alerts.durations import about
from fluxline_collector.alerts.incidents import Incident, NoticeKind
from fluxline_collector.alerts.rules import AnyRule, counts_events

TITLE_CHARS: Final = 150
DIGEST_LINES: Final = 30
_MARKUP: Final = str.maketrans({
    "<": "‹", ">": "›", "@": "＠", "`": "ˋ", "[": "(", "]": ")", "*": "∗", "&": "+", "|": "¦",
})  # fmt: skip


@dataclass(frozen=True)
class Message:
    """What is sent: `title` is one line, `body` is Markdown."""

    title: str
    body: str


def message_of(
    rule: AnyRule, incident: Incident, notice: NoticeKind, now: datetime, studio_url: str | None = None
) -> Message:
    """The notice of an incident."""
    headline = headline_of(rule, incident)
    if notice == "recovered":
        return Message(_title("resolved", headline), _lines(_recovery(rule, incident, now), _foot(rule)))
    goes_on = "Still: " if notice == "repeated" else ""
    parts = [
        f"**What:** {headline}.",
        f"**Since:** {_moment(incident.since)}, {about((now - incident.since).total_seconds())} ago.",
        *_most_frequent(incident),
        *_jobs(incident, studio_url),
        f"**What to do:** {rule.remedy}",
        f"**How it ends:** {_end(rule)}",
        _foot(rule),
    ]
    return Message(_title(rule.severity, goes_on + headline), _lines(*parts))


def headline_of(rule: AnyRule, incident: Incident) -> str:
    """What is the matter, in a few words: `Publishing fails: authentication (12 jobs in 5 min)`."""
    fields, count, figures = dict(incident.fields), incident.count, incident.figures
    span_s = (incident.last_seen_at - incident.since).total_seconds()
    match rule.kind:
        case "failure":
            within = f" in {about(span_s)}" if span_s >= 60 else ""
            said = f"{_where(fields, 'Jobs fail')} ({_counted(count, 'job')}{within})"
        case "rate":
            of_all = f"{count} of {figures.get('attempts', count):.0f} attempts in {about(rule.window_s)}"
            said = f"{_where(fields, 'Attempts fail')} ({of_all})"
        case "stuck":
            at = f" at {_stage(fields['stage'])}" if "stage" in fields else ""
            said = f"{_counted(count, 'job')} stuck{at} (silent for {about(figures.get('longest_s', 0))})"
        case "dead_letters":
            of = f" of {_safe(fields['durable'])}" if "durable" in fields else ""
            said = f"{_counted(count, 'new dead letter' if rule.growing else 'dead letter')}{of}"
        case "lag":
            who = _safe(fields.get("durable", "A consumer"))
            said = f"{who} is behind ({_counted(count, 'message')} wait, up to {about(figures.get('age_s', 0))})"
        case "loss":
            said = f"{_counted(count, 'event')} lost before they were stored"
    return said


def digest_of(lines: Sequence[str], quiet: str) -> Message:
    """What was held during quiet hours; `lines` are titles of notices."""
    more = [f"- and {len(lines) - DIGEST_LINES} more"] if len(lines) > DIGEST_LINES else []
    listed = "\n".join([*(f"- {line}" for line in lines[:DIGEST_LINES]), *more])
    title = f"[digest] {_counted(len(lines), 'alert')} during quiet hours"
    return Message(title, _lines(f"Held from {quiet}, newest last:", listed, "`fluxline alerts list` shows all."))


def test_message() -> Message:
    """What is sent to try a channel."""
    return Message(
        "[test] fluxline alerts reach this channel",
        _lines("**What:** somebody asked for a test notice. Nothing is wrong.", "**What to do:** nothing."),
    )


def plain(text: str) -> str:
    """Words of others on one line, without markup and secrets."""
    return _safe(redact_text(text))


def _recovery(rule: AnyRule, incident: Incident, now: datetime) -> str:
    lasted = about((incident.last_seen_at - incident.since).total_seconds())
    quiet = about((now - incident.last_seen_at).total_seconds())
    if counts_events(rule):
        return f"**Resolved:** nothing more of it for {quiet}; {incident.count} in all within {lasted}."
    return f"**Resolved:** it has not been so for {quiet}; it had lasted {lasted}."


def _end(rule: AnyRule) -> str:
    after = about(rule.resolve_after_s)
    if counts_events(rule):
        return f"resolved when nothing more of it has come for {after}."
    return f"resolved when it has not been so for {after}."


def _foot(rule: AnyRule) -> str:
    labels = "".join(f", {_safe(name)}: {_safe(value)}" for name, value in rule.labels.items())
    return f"Rule: {rule.name}{labels}"


def _most_frequent(incident: Incident) -> list[str]:
    if not incident.messages:
        return []
    text, times = max(incident.messages.items(), key=lambda item: item[1])
    often = f" ({times} times)" if times > 1 else ""
    return [f"**Most frequent message:** {plain(text)}{often}"]


def _jobs(incident: Incident, studio_url: str | None) -> list[str]:
    if not incident.jobs:
        return []
    of_trainings = dict(incident.fields).get("stage") != "image_generation"
    shown = [
        f"- [{job}]({studio_url.rstrip('/')}/trainings/{job})" if studio_url and of_trainings else f"- {job}"
        for job in incident.jobs
    ]
    more = f" (the newest {len(shown)} of {incident.count})" if incident.count > len(shown) else ""
    return [f"**Jobs{more}:**\n\n" + "\n".join(shown)]


def _where(fields: dict[str, str], otherwise: str) -> str:
    """`Publishing fails: authentication at huggingface`, as far as the group says it."""
    subject = f"{_stage(fields['stage'])} fails" if "stage" in fields else otherwise
    category = f": {_safe(fields['category'])}" if "category" in fields else ""
    provider = f" at {_safe(fields['provider'])}" if "provider" in fields else ""
    return f"{subject}{category}{provider}"


def _stage(stage: str) -> str:
    return STAGE_NAMES.get(stage, _safe(stage))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _title(mark: str, text: str) -> str:
    title = f"[{mark}] {text}"
    return title if len(title) <= TITLE_CHARS else f"{title[: TITLE_CHARS - 1]}…"


def _lines(*parts: str) -> str:
    return "\n\n".join(parts)


def _safe(text: str) -> str:
    """One line that no channel takes for markup, a link, a mention or an address."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return line.translate(_MARKUP).replace("://", ":∕∕")
