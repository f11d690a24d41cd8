"""Spans as OTLP writes them (protobuf), without secrets: names, attributes, events and the words of errors.

By hand, since the message classes of Python's protobuf take three times as long, and an attribute's bytes can be kept:
most of them come again. The protocol: https://github.com/open-telemetry/opentelemetry-proto (trace.proto), the
encoding: https://protobuf.dev/programming-guides/encoding. Runs in the exporter's thread, so that nobody waits for it.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from opentelemetry.util.types import Attributes

from fluxline.runtime.redaction import on_new_secrets, redact, redact_text

MAX_REMEMBERED_CHARS: Final = 100
MAX_CHARS: Final = 2000
_LENGTH, _FIXED64 = 2, 1
_KIND_AND_TIMES: Final = struct.Struct("<BBBQBQ")
"""The fields 6 (varint), 7 and 8 (fixed64), each after its key."""
_IDS: Final = frozenset({"messaging.message.id", "fluxline.training_id"})
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID_CHARS: Final = 36


def encode(spans: Iterable[ReadableSpan]) -> bytes:
    """An ExportTraceServiceRequest, spans by resource and scope."""
    groups: dict[int, tuple[Resource, dict[str, list[bytes]]]] = {}
    for span in spans:
        scope = span.instrumentation_scope.name if span.instrumentation_scope else ""
        _, scopes = groups.setdefault(id(span.resource), (span.resource, {}))
        scopes.setdefault(scope, []).append(_part(2, _span(span)))
    return b"".join(_part(1, _of_resource(resource, scopes)) for resource, scopes in groups.values())


def _of_resource(resource: Resource, scopes: dict[str, list[bytes]]) -> bytes:
    of_scopes = (_part(2, _part(1, _text(1, name)) + b"".join(spans)) for name, spans in scopes.items())
    return _part(1, _attributes(1, resource.attributes)) + b"".join(of_scopes)


def _span(span: ReadableSpan) -> bytes:
    context, parent = span.context, span.parent
    assert context is not None  # noqa: S101  # a span that was started has one
    parts = [
        b"\x0a\x10" + context.trace_id.to_bytes(16, "big") + b"\x12\x08" + context.span_id.to_bytes(8, "big"),
        b"\x22\x08" + parent.span_id.to_bytes(8, "big") if parent is not None else b"",
        _words(5, span.name),
        _KIND_AND_TIMES.pack(0x30, span.kind.value + 1, 0x39, span.start_time or 0, 0x41, span.end_time or 0),
        _attributes(9, span.attributes),
        *(
            _part(11, _fixed64(1, event.timestamp) + _words(2, event.name) + _attributes(3, event.attributes))
            for event in span.events
        ),
        *(
            _part(
                13,
                _part(1, link.context.trace_id.to_bytes(16, "big"))
                + _part(2, link.context.span_id.to_bytes(8, "big"))
                + _attributes(4, link.attributes),
            )
            for link in span.links
        ),
    ]
    status = span.status
    if status.status_code is not StatusCode.UNSET:
        said = _text(2, redact_text(status.description)[:MAX_CHARS]) if status.description else b""
        parts.append(_part(15, said + _number(3, status.status_code.value)))
    return b"".join(parts)


def _attributes(field: int, attributes: Attributes) -> bytes:
    if not attributes:
        return b""
    return b"".join([_one(field, name, value) for name, value in attributes.items()])


def _one(field: int, name: str, value: Any) -> bytes:
    """An attribute: ids of ours as they are, what may come again from memory."""
    if isinstance(value, str):
        if name in _IDS and _UUID.fullmatch(value):
            return _before_id(field, name) + value.encode()
        return (_known_attribute if len(value) <= MAX_REMEMBERED_CHARS else _attribute)(field, name, value)
    return _known_attribute(field, name, value) if isinstance(value, int | float) else _attribute(field, name, value)


@lru_cache(maxsize=16)
def _before_id(field: int, name: str) -> bytes:
    """All of an attribute up to its value, which is a UUID."""
    whole = _part(field, _text(1, name) + _part(2, _text(1, "0" * _UUID_CHARS)))
    return whole[:-_UUID_CHARS]


def _attribute(field: int, name: str, value: Any) -> bytes:
    return _part(field, _text(1, redact_text(name)) + _part(2, _value(redact(value, key=name))))


_known_attribute = on_new_secrets(lru_cache(maxsize=16_384, typed=True)(_attribute))


def _value(value: Any) -> bytes:
    """An AnyValue."""
    if isinstance(value, str):
        return _text(1, value[:MAX_CHARS])
    if isinstance(value, bool):
        return _number(2, int(value))
    if isinstance(value, int):
        return _number(3, value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return _key(4, _FIXED64) + struct.pack("<d", value)
    if isinstance(value, Sequence):
        return _part(5, b"".join(_part(1, _value(item)) for item in value))
    return _text(1, redact_text(str(value))[:MAX_CHARS])


def _make_words(field: int, text: str) -> bytes:
    return _text(field, redact_text(text)[:MAX_CHARS])


_words = on_new_secrets(lru_cache(maxsize=2048)(_make_words))


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode(errors="replace"))


def _part(field: int, content: bytes) -> bytes:
    return _key(field, _LENGTH) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _key(field, 0) + _varint(value)


def _fixed64(field: int, value: int) -> bytes:
    return _key(field, _FIXED64) + value.to_bytes(8, "little")


@lru_cache(maxsize=64)
def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
