"""Calls to somebody else's API: counted, timed and traced in one place, by their operation and how they ended."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from time import perf_counter
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from opentelemetry.trace import Span, SpanKind
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.runtime.exemplars import exemplar
from fluxline.runtime.spans import part

CALL_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
OK: Final = "ok"
CANCELED: Final = "canceled"
_OPERATION: Final = "__provider_operation__"
P = ParamSpec("P")
R = TypeVar("R")


class ProviderCalls:
    """The series of all providers of one process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._ended = Counter(
            "fluxline_provider_calls",
            "Calls to providers, by how they ended: ok, or the category of the error",
            ("provider", "operation", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "fluxline_provider_call_seconds",
            "Duration of a call to a provider",
            ("provider", "operation"),
            buckets=CALL_SECONDS,
            registry=registry,
        )
        self._in_flight = Gauge(
            "fluxline_provider_calls_in_flight", "Calls to providers under way", ("provider",), registry=registry
        )
        self._limit = Gauge(
            "fluxline_provider_calls_limit",
            "How many calls this process makes at once",
            ("provider",),
            registry=registry,
        )

    def announce(self, provider: str, operations: tuple[str, ...], limit: int | None = None) -> None:
        """Show the provider's series from the start, and how many calls are made at once, where that is limited."""
        self._in_flight.labels(provider).set(0)
        if limit is not None:
            self._limit.labels(provider).set(limit)
        for operation in operations:
            for outcome in (OK, *ErrorCategory):
                self._ended.labels(provider, operation, outcome)
            self._seconds.labels(provider, operation)

    @contextmanager
    def measured(self, provider: str, operation: str, *, polls: bool = False) -> Iterator[None]:
        """One call is made inside the block. `polls`: it only asks how something goes on, which makes no span."""
        begun, outcome, in_flight = perf_counter(), OK, self._in_flight.labels(provider)
        in_flight.inc()
        with nullcontext() if polls else _span(provider, operation):
            try:
                yield
            except BaseException as error:
                outcome = _outcome_of(error)
                raise
            finally:
                in_flight.dec()
                self._seconds.labels(provider, operation).observe(perf_counter() - begun, exemplar())
                self._ended.labels(provider, operation, outcome).inc()


def _span(provider: str, operation: str) -> AbstractContextManager[Span]:
    name = f"{provider} {operation}"
    return part(name, SpanKind.CLIENT, fluxline__provider=provider, fluxline__operation=operation)


class Adapter(Protocol):
    """A provider's adapter: `name` is its label."""

    name: str
    calls: ProviderCalls


A = TypeVar("A", bound=Adapter)
Method = Callable[Concatenate[A, P], Coroutine[Any, Any, R]]


def provider_call(operation: str, *, polls: bool = False) -> Callable[[Method[A, P, R]], Method[A, P, R]]:
    """Measure every call of an adapter's method as one call to its provider."""

    def wrap(method: Method[A, P, R]) -> Method[A, P, R]:
        @wraps(method)
        async def measured(adapter: A, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with adapter.calls.measured(adapter.name, operation, polls=polls):
                return await method(adapter, *args, **kwargs)

        setattr(measured, _OPERATION, operation)
        return measured

    return wrap


def operations_of(adapter: type[Any]) -> tuple[str, ...]:
    """The operations that the adapter's methods are measured as."""
    found = (getattr(member, _OPERATION, None) for member in vars(adapter).values())
    return tuple(dict.fromkeys(operation for operation in found if operation))


def _outcome_of(error: BaseException) -> str:
    if isinstance(error, FluxlineError):
        return error.category.value
    return ErrorCategory.INTERNAL.value if isinstance(error, Exception) else CANCELED
