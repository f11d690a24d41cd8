"""The report: one HTML document about one training, with pictures, that needs nothing else. Pure.

Everything that an event can hold is text in it: escaped, and without what turns or hides text. Its size is bounded, and
it says what it leaves out.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fluxline.contracts.debugging import StoredEvent, Summary, Timeline, TimelineEntry
from fluxline.contracts.narration import STAGE_NAMES, duration_text
from fluxline_collector.pictures import curve_of, waterfall_of

T = TypeVar("T")
FIRST, LAST = 100, 200
"""Of a long list: its beginning and its end."""
MAX_ERRORS: Final = 50
MAX_JSON_CHARS: Final = 4_000
MAX_TEXT_CHARS: Final = 2_000
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""Controls, what changes the direction of text, what has no width, halves of characters."""


@dataclass(frozen=True)
class Part:
    """What is shown of a list, and how many of it are not."""

    first: Sequence[Any]
    last: Sequence[Any]
    left_out: int


def render(
    summary: Summary,
    timeline: Timeline,
    events: Sequence[StoredEvent],
    curve: Sequence[Mapping[str, Any]],
    now: datetime,
) -> str:
    """The document. `curve` has rows of `at, step, loss, percent`, as text or null."""
    errors = _errors(timeline)
    return _TEMPLATE.render(
        summary=summary,
        title=summary.name or str(summary.training_id),
        waterfall=waterfall_of(timeline, now),
        curve=curve_of(curve),
        errors=errors[-MAX_ERRORS:],
        errors_left_out=max(0, len(errors) - MAX_ERRORS),
        entries=_part(timeline.entries),
        events=_part([_folded(event) for event in events]),
        events_missing=summary.events - len(events),
        now=now,
    )


def clean(value: object) -> object:
    """What the template prints: text without what could hide or turn it, cut where it is very long."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = value if len(value) <= 2 * MAX_JSON_CHARS else value[: 2 * MAX_JSON_CHARS] + " …"
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def _errors(timeline: Timeline) -> list[TimelineEntry]:
    """The entries of errors, each error once: the end of a training repeats what its stage has said."""
    told = {(entry.stage, entry.category) for entry in timeline.entries if entry.type == "stage.failed"}
    found = [entry for entry in timeline.entries if entry.category]
    return [entry for entry in found if entry.type != "training.failed" or (entry.stage, entry.category) not in told]


def _part(items: Sequence[T]) -> Part:
    if len(items) <= FIRST + LAST:
        return Part(items, (), 0)
    return Part(items[:FIRST], items[-LAST:], len(items) - FIRST - LAST)


def _folded(event: StoredEvent) -> dict[str, Any]:
    """An event as the list of all events shows it."""
    text = json.dumps(event.data, indent=2, ensure_ascii=False) if event.data else event.problem or "no facts"
    cut = len(text) - MAX_JSON_CHARS
    if cut > 0:
        text = f"{text[:MAX_JSON_CHARS]}\n… {cut} more characters"
    return {"id": event.id, "at": event.at, "type": event.type, "level": event.level, "text": text}


def _moment(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "–"


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S}"


def _duration(milliseconds: int | None) -> str:
    return "…" if milliseconds is None else duration_text(milliseconds)


def _stage(stage: str | None) -> str:
    return STAGE_NAMES.get(stage or "", stage or "–")


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARS else f"{text[:MAX_TEXT_CHARS]} …"


def _mark(entry: TimelineEntry) -> str:
    """The class of an entry's mark."""
    return "wait" if entry.type == "wait" else entry.level


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fluxline_collector"),
        autoescape=True,
        finalize=clean,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"moment": _moment, "clock": _clock, "duration": _duration, "stage": _stage, "short": _short}
    environment.filters |= filters | {"mark": _mark}
    return environment


_TEMPLATE = _environment().get_template("report.html")
