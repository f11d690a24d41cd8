"""An OTLP/HTTP endpoint for tests: takes traces as protobuf, and may refuse, or not answer at all."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

Behaviour = Literal["take", "refuse", "hang"]


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it was exported; ids are hex, `parent` is empty for a root; `links` are (trace id, span id)."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent: str
    kind: str
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    failed: bool
    said: str
    start_ns: int
    end_ns: int
    events: tuple[str, ...]


class OtlpReceiver:
    """Listens on a free port of 127.0.0.1 while it is entered; `spans` is what has come so far."""

    def __init__(self, *, keep: bool = True) -> None:
        self.behaviour: Behaviour = "take"
        self.spans: list[ReceivedSpan] = []
        self.requests = 0
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.requests += 1
                if receiver.behaviour == "hang":
                    receiver.released.wait(60)
                elif receiver.behaviour == "take" and keep:
                    receiver.spans += spans_of(body)
                self.send_response(500 if receiver.behaviour == "refuse" else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def of_trace(self, trace_id: str) -> list[ReceivedSpan]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace_id == trace_id]


def spans_of(body: bytes) -> list[ReceivedSpan]:
    """What an export request holds."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        _span(_attributes(group.resource.attributes).get("service.name", ""), span)
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _span(service: str, span: trace_pb2.Span) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        attributes=_attributes(span.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        said=span.status.message,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        events=tuple(event.name for event in span.events),
    )


def _attributes(found: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in found}


def _value(pair: KeyValue) -> Any:
    value: AnyValue = pair.value
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
