"""What a service does with a consumer's messages: typed handlers, and the runtime around each of them.

Around a handler: decoding, stage events, heartbeat, deadline, publishing of what it returns, and the one
retry policy. A handler returns facts and raises `FluxlineError`s; it neither acknowledges nor publishes.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fluxline.contracts.catalog import Consumer
from fluxline.contracts.errors import FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import GenerationFailed, GenerationRequested, TrainingFailed
from fluxline.runtime.envelope import Received
from fluxline.runtime.errors import Translator, as_fluxline_error
from fluxline.runtime.policy import GiveUp, RetryPolicy
from fluxline.runtime.redaction import redact_text
from fluxline.runtime.stages import StageAttempt

E = TypeVar("E", bound=Event)
Result = Event | Sequence[Event] | None
Emit = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True)
class Delivery:
    """How this attempt came about; `emit` publishes an event before the handler is done (progress)."""

    message: Received
    emit: Emit

    @property
    def attempt(self) -> int:
        """1 for the first delivery."""
        return self.message.attempt

    @property
    def replay(self) -> int | None:
        """The sequence in the DLQ of the dead letter that this is a replay of."""
        return self.message.replay


Handler = Callable[[E, Delivery], Awaitable[Result]]


class JobOver(Exception):
    """The job of a message is over: the message is settled, and nothing fails.

    `done` says that the stage had done its work, in an attempt whose end was lost: then it ends well. Otherwise (the
    job is canceled, say) nothing is told.
    """

    def __init__(self, *, done: bool = False) -> None:
        super().__init__()
        self.done = done


OnGiveUp = Callable[[StageAttempt, FluxlineError], Event | None]
"""Makes the event that ends the job from the last attempt and its error."""
IsOver = Callable[[Event], Awaitable[JobOver | None]]
"""Why the event needs no work any more, if it needs none: asked before each attempt."""


def training_failed(attempt: StageAttempt, error: FluxlineError) -> Event | None:
    """The end of a training at the attempt's stage; None where its cause belongs to no training."""
    cause, stage = attempt.cause, attempt.stage
    if cause.training_id is None:
        return None
    return TrainingFailed.caused_by(
        cause,
        discriminator=stage if attempt.replay is None else f"{stage}/r{attempt.replay}",
        replay=attempt.replay,
        stage=stage,
        category=error.category,
        retryable=error.category.retryable,
        message=redact_text(error.message),
        hint=attempt.last_hint(error),
        attempts=attempt.attempt,
        run=getattr(cause, "run", 0),
        resume_from=error.resume_from,
    )


def generation_failed(attempt: StageAttempt, error: FluxlineError) -> Event | None:
    """The end of a generation without images; None where the attempt's cause asked for none."""
    cause = attempt.cause
    if not isinstance(cause, GenerationRequested):
        return None
    return GenerationFailed.caused_by(
        cause,
        discriminator="" if attempt.replay is None else f"r{attempt.replay}",
        generation_id=cause.generation_id,
        category=error.category,
        retryable=error.retryable,
        message=redact_text(error.message),
        hint=attempt.last_hint(error),
        attempts=attempt.attempt,
    )


@dataclass(frozen=True)
class Route:
    """One handler: which event, which stage of the job (None: housekeeping without stage events)."""

    handle: Handler[Event]
    stage: Stage | None
    on_give_up: OnGiveUp


class Handlers:
    """The handlers of one durable consumer, by subject."""

    def __init__(
        self,
        consumer: Consumer,
        *,
        policy: RetryPolicy | None = None,
        deadline_s: float = 900.0,
        translators: Sequence[Translator] = (),
        is_over: IsOver | None = None,
    ) -> None:
        self.consumer = consumer
        self.is_over = is_over
        self.policy = policy or RetryPolicy()
        self.deadline_s = deadline_s
        self.translators = tuple(translators)
        self.routes: dict[str, Route] = {}

    def gives_up(self, error: Exception, delivery: Delivery) -> bool:
        """Whether the handler that raises this is not run again for this message."""
        ours = as_fluxline_error(error, self.translators)
        return not ours.outage and isinstance(self.policy.decide(ours, delivery.attempt), GiveUp)

    def on(
        self, event: type[E], *, stage: Stage | None = None, on_give_up: OnGiveUp = training_failed
    ) -> Callable[[Handler[E]], Handler[E]]:
        """Register the handler of one event: `async def on_zip_created(event, delivery) -> Event | None`."""

        def register(handle: Handler[E]) -> Handler[E]:
            if event.subject not in self.consumer.subjects:
                raise ValueError(f"{self.consumer.durable} does not consume {event.subject}: see the catalog")
            self.routes[event.subject] = Route(handle, stage, on_give_up)  # type: ignore[arg-type]  # by subject
            return handle

        return register
