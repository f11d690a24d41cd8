"""A span of few instructions, for what every message needs two of: OpenTelemetry's own take four times as long."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import Self

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import Attributes, AttributeValue

UNSET = Status(StatusCode.UNSET)


class LeanSpan(trace.Span):
    """Has what an exporter reads of a span. Entering makes it the current one, leaving ends it.

    Of one task: it has no lock, and takes attributes as they are.
    """

    __slots__ = (
        *("name", "context", "parent", "kind", "attributes", "links", "events", "status"),
        *("start_time", "end_time", "resource", "instrumentation_scope", "_on_end", "_token"),
    )

    def __init__(
        self,
        name: str,
        span_context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, AttributeValue],
        links: Sequence[Link],
        resource: Resource,
        scope: InstrumentationScope,
        on_end: Callable[["LeanSpan"], None],
    ) -> None:
        self.name, self.context, self.parent, self.kind = name, span_context, parent, kind
        self.attributes, self.links, self.status = attributes, links, UNSET
        self.events: list[Event] = []
        self.resource, self.instrumentation_scope, self._on_end = resource, scope, on_end
        self.start_time, self.end_time = time.time_ns(), 0

    def __enter__(self) -> Self:
        """Make it the current span."""
        self._token: Token[Context] = context.attach(trace.set_span_in_context(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; an error that passes is told by its type."""
        context.detach(self._token)
        if error is not None and self.status is UNSET and isinstance(error, Exception):
            self.attributes.setdefault("error.type", type(error).__name__)
            self.status = Status(StatusCode.ERROR, type(error).__name__)
        self.end()

    def end(self, end_time: int | None = None) -> None:
        """Hand it to the exporter."""
        self.end_time = end_time or time.time_ns()
        self._on_end(self)

    def get_span_context(self) -> SpanContext:
        """Its ids."""
        return self.context

    def is_recording(self) -> bool:
        """Until it has ended."""
        return not self.end_time

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Add or replace one."""
        self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Add or replace several."""
        self.attributes.update(attributes)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Something has happened."""
        self.events.append(Event(name, attributes, timestamp or time.time_ns()))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """It has to do with another span."""
        self.links = [*self.links, Link(context, attributes)]

    def update_name(self, name: str) -> None:
        """Another name."""
        self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """How it ended."""
        self.status = status if isinstance(status, Status) else Status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """An exception as an event: its type, never its words."""
        self.add_event("exception", {"exception.type": type(exception).__name__}, timestamp)
