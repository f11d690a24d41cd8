"""One message of the stream as a row: what can be read of it, and all of it.

This runs for every message, and Python's time per message is what limits the rate: a body that fits its event, holds
nothing like a secret and has no escapes is parsed once, and goes to PostgreSQL as the text it came as.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from fluxline.contracts.catalog import EVENTS
from fluxline.contracts.event import Event
from fluxline.runtime.envelope import SERVICE_VERSION, Received, read_event
from fluxline.runtime.errors import Unreadable
from fluxline.runtime.redaction import might_hold_secret, redact, redact_bytes, redact_text

MAX_TEXT: Final = 200
"""Characters of a column of text; the body keeps all of it."""


def storable(text: str) -> str:
    """`text` as PostgreSQL takes it: without NUL and lone surrogates."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


def _in_utc(at: datetime) -> datetime:
    """Raises ValueError for a time without a zone, or beyond the calendar."""
    if at.tzinfo is None:
        raise ValueError("a time needs a zone")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("out of range") from error


Text = Annotated[str, AfterValidator(lambda text: storable(text)[:MAX_TEXT])]
Integer = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class Correlation(BaseModel):
    """What joins a message to a job, read leniently: a message that does not fit its event may still have it."""

    model_config = ConfigDict(extra="ignore")
    event_id: UUID | None = None
    training_id: UUID | None = None
    generation_id: UUID | None = None
    occurred_at: Annotated[datetime, AfterValidator(_in_utc)] | None = None
    stage: Text | None = None
    service: Text | None = None
    category: Text | None = None
    retryable: bool | None = None
    attempt: Integer | None = None
    duration_ms: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None


_CORRELATED: Final = tuple(Correlation.model_fields)


@dataclass(frozen=True, slots=True)
class Record:
    """A row of `events`; field names are column names."""

    sequence: int
    stored_at: datetime
    occurred_at: datetime | None
    subject: str
    event_id: UUID | None
    training_id: UUID | None
    generation_id: UUID | None
    stage: str | None
    service: str | None
    service_version: str | None
    category: str | None
    retryable: bool | None
    attempt: int | None
    duration_ms: int | None
    trace_id: str | None
    readable: bool
    problem: str | None
    redacted: bool
    facts: str | None
    headers: str
    body: bytes

    def bare(self, problem: str) -> "Record":
        """The row that can be stored whatever PostgreSQL has against the facts: these stay in the body alone."""
        blank: dict[str, Any] = dict.fromkeys(("occurred_at", "stage", "service", "service_version", "category"))
        blank |= dict.fromkeys(("retryable", "attempt", "duration_ms", "trace_id", "facts"))
        return replace(self, **blank, readable=False, problem=problem, headers="{}")


def record_of(message: Received) -> Record:
    """The row of a message; never raises, whatever the message holds."""
    event, problem = _read(message)
    headers, headers_text = _headers(message.headers)
    suspicious = might_hold_secret(message.body)
    body = message.body
    if event is not None and not suspicious and b"\\u" not in body:
        facts: str | None = body.decode()
        known = _of_event(event)
    else:
        parsed = _json_object(body)
        if suspicious:
            parsed, body = redact(parsed), redact_bytes(body)
        facts, known = _facts(parsed), _of_anything(parsed or {})
    return Record(
        sequence=message.sequence,
        stored_at=message.stored_at,
        subject=message.subject,
        service_version=_text(headers.get(SERVICE_VERSION)),
        trace_id=_trace_id(headers),
        readable=event is not None,
        problem=problem,
        redacted=body != message.body,
        facts=facts,
        headers=headers_text,
        body=body,
        **_completed(known, message.subject, headers),
    )


def _read(message: Received) -> tuple[Event | None, str | None]:
    try:
        return read_event(message.subject, message.body), None
    except Unreadable as error:
        return None, storable(redact_text(error.message))


def _of_event(event: Event) -> dict[str, Any]:
    facts = event.__dict__  # where pydantic keeps the fields; asking for those it lacks by getattr is slow
    return {name: facts.get(name) for name in _CORRELATED}


def _of_anything(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Every field that can be read, however wrong its neighbours are."""
    try:
        return Correlation.model_validate(facts).__dict__
    except ValidationError as error:
        wrong = {item["loc"][0] for item in error.errors(include_url=False, include_input=False, include_context=False)}
        return Correlation.model_validate({name: value for name, value in facts.items() if name not in wrong}).__dict__


def _completed(known: dict[str, Any], subject: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """With what the subject and the headers say where the body says nothing."""
    event_class = EVENTS.get(subject)
    stage = known["stage"] or (event_class.stage_of_job if event_class else None)
    service = known["service"] or _text(headers.get("ce-source", "").rpartition("/")[2])
    return {**known, "stage": stage, "service": service}


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body, parse_constant=str, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _finite(number: str) -> float | str:
    """JSON knows no infinity, nor does PostgreSQL's."""
    value = float(number)
    return value if math.isfinite(value) else number


def _facts(parsed: Mapping[str, Any] | None) -> str | None:
    if parsed is None:
        return None
    try:
        return _json(parsed)
    except (ValueError, RecursionError):
        return None


def _json(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\\u0000", "\\ufffd").encode(errors="replace").decode()


def _headers(headers: Mapping[str, str]) -> tuple[Mapping[str, str], str]:
    """Without secrets, and the same as JSON."""
    text = json.dumps(dict(headers), ensure_ascii=False)
    if text.isascii() and "\\" not in text and not might_hold_secret(text.encode()):
        return headers, text
    cleaned: dict[str, str] = redact(dict(headers))
    return cleaned, _json(cleaned)


def _text(text: str | None) -> str | None:
    return storable(text)[:MAX_TEXT] if text else None


def _trace_id(headers: Mapping[str, str]) -> str | None:
    parts = headers.get("traceparent", "").split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 and parts[1].isalnum() and parts[1].isascii() else None
