"""Spans of what is done to stored files, whichever storage it is."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from opentelemetry.trace import SpanKind

from fluxline.runtime.spans import part

P = ParamSpec("P")
R = TypeVar("R")


class HasSystem(Protocol):
    """A storage: `span_attributes` is what all its spans have."""

    @property
    def span_attributes(self) -> dict[str, str]:
        """By OpenTelemetry's conventions for object storage, where there are any for it."""
        ...


S = TypeVar("S", bound=HasSystem)
Method = Callable[Concatenate[S, str, P], Coroutine[Any, Any, R]]


def traced(operation: str) -> Callable[[Method[S, P, R]], Method[S, P, R]]:
    """A span around a method whose first argument is a key."""

    def wrap(method: Method[S, P, R]) -> Method[S, P, R]:
        @wraps(method)
        async def spanned(storage: S, key: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with part(f"storage {operation}", SpanKind.CLIENT, fluxline__storage__key=key) as span:
                if span.is_recording():
                    span.set_attributes({**storage.span_attributes, "fluxline.storage.operation": operation})
                return await method(storage, key, *args, **kwargs)

        return spanned

    return wrap
