"""Failures of the runtime itself, and how any exception becomes one of ours."""

from collections.abc import Callable, Iterable
from typing import ClassVar

from fluxline.contracts.errors import ErrorCategory, FluxlineError

Translator = Callable[[BaseException], FluxlineError | None]
"""Turns a library's exception into ours, or says None; an adapter for errors that surface everywhere."""


class InternalError(FluxlineError):
    """Something unexpected happened inside fluxline."""


class DeadlineExceeded(FluxlineError):
    """The work took longer than it may."""

    category: ClassVar[ErrorCategory] = ErrorCategory.TIMEOUT
    hint = "It is tried again by itself; if it keeps happening, look at the service's load."


class CutOff(FluxlineError):
    """The attempt was cut off: its process ended or was stopped."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is tried again by itself; if it keeps happening, look at why the service ends."


class BrokerUnavailable(FluxlineError):
    """NATS did not confirm a message."""

    category: ClassVar[ErrorCategory] = ErrorCategory.NETWORK
    hint = "It is tried again by itself; check that NATS is up and reachable."


class Unreadable(FluxlineError):
    """A message is not a valid event of its subject."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Look at it with its dead letter; replay it once its sender or this service is mended."


def as_fluxline_error(error: BaseException, translators: Iterable[Translator] = ()) -> FluxlineError:
    """`error` as one of ours: by type, never by the words of its message."""
    if isinstance(error, FluxlineError):
        return error
    for translate in translators:
        if translated := translate(error):
            return translated
    return InternalError(f"{type(error).__name__} in fluxline; details are in the service's log")
