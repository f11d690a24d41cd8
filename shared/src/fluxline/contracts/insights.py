"""What the debug-collector tells across jobs. It and who passes it on share these.

Times are aware; durations are whole milliseconds, amounts US dollars, rates from 0 to 1. `at` is the beginning of the
hour or day (UTC) that a row is about; where no such bucket was asked for, the beginning of the whole span.
"""

from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from fluxline.contracts.debugging import JobStatus

T = TypeVar("T")
Bucket = Literal["hour", "day"]
JobSort = Literal["newest", "slowest", "costliest"]
AttemptOutcome = Literal["succeeded", "retried", "failed"]
"""Of an ended attempt: it succeeded, failed and was tried again, or failed and the stage gave up."""
RetryKind = Literal["automatic", "by_hand"]
"""Who tried again: the stage by itself, or an owner or operator after it had given up."""
DEFAULT_SPAN_DAYS: Final = 7
MAX_SPAN_DAYS: Final = 400
MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 100
STUCK_AFTER_MS: Final = 600_000
"""Silence that is too long wherever a stage usually takes less; the longest pause before a retry is half of it."""
_AT: Final = "2026-11-25T00:00:00Z"


def _shown(**example: Any) -> ConfigDict:
    shown: JsonDict = {"examples": [example]}
    return ConfigDict(json_schema_extra=shown)


class Insights(BaseModel, Generic[T]):
    """Rows of one answer; `next_cursor` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None


class StageDurations(BaseModel):
    """How long attempts at a stage took, by how they ended. Percentiles are interpolated between measured values."""

    model_config = _shown(
        at=_AT, stage="replicate_training", outcome="succeeded", provider="replicate", attempts=140,
        p50_ms=884_120, p90_ms=1_440_900, p95_ms=1_702_330, p99_ms=2_310_040, max_ms=2_688_301,
    )  # fmt: skip

    at: datetime = Field(description="beginning of the hour or day (UTC), or of the whole span")
    stage: str
    outcome: AttemptOutcome = Field(description="retried: failed and tried again; failed: the stage gave up")
    provider: str = Field(description="who the stage talks to, or `unknown`")
    attempts: int = Field(description="how many attempts ended so")
    p50_ms: int | None = Field(description="median in milliseconds; null where no duration is known")
    p90_ms: int | None = Field(description="90th percentile in milliseconds")
    p95_ms: int | None = Field(description="95th percentile in milliseconds")
    p99_ms: int | None = Field(description="99th percentile in milliseconds")
    max_ms: int | None = Field(description="the longest, in milliseconds")


class FailureRate(BaseModel):
    """Which share of the attempts at a stage went wrong; a row for each category of error, and one for all of them."""

    model_config = _shown(
        at=_AT, stage="huggingface_upload", provider="huggingface", service_version="1.4.0", category="rate_limit",
        attempts=120, failed=1, retried=5, error_rate=0.05,
    )  # fmt: skip

    at: datetime = Field(description="beginning of the hour or day (UTC), or of the whole span")
    stage: str
    provider: str = Field(description="who the stage talks to, or `unknown`")
    service_version: str = Field(description="version of the service that worked, or `unknown`")
    category: str | None = Field(description="error category; null is all of them together")
    attempts: int = Field(description="all attempts of this stage, provider and version, well or not")
    failed: int = Field(description="those with this category after which the stage gave up")
    retried: int = Field(description="those with this category after which the stage tried again")
    error_rate: float = Field(description="(failed + retried) / attempts, from 0 to 1")


class JobInsight(BaseModel):
    """One training among many: where it stands, how long it has taken, what it has cost."""

    model_config = _shown(
        training_id="7a1a1a60-0000-4000-8000-000000000001", name="Ada", owner="ada", status="failed",
        stage="huggingface_upload", category="authentication", retryable=False,
        message="Hugging Face does not accept the token.", began_at="2026-11-25T10:00:00Z",
        ended_at="2026-11-25T10:20:00Z", last_at="2026-11-25T10:20:00Z", duration_ms=1_200_000, work_ms=1_121_000,
        silent_ms=None, stuck=False, stuck_after_ms=None, provider="replicate", external_id="r1a2b3c4d5e6f7",
        cost_usd=1.52, image_count=8, retries=1, errors=2, trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    )  # fmt: skip

    training_id: UUID
    name: str | None
    owner: str | None
    status: JobStatus
    stage: str | None = Field(description="where it is, or where it failed")
    category: str | None = Field(description="error category of a failed training")
    retryable: bool | None = Field(description="whether trying the same again can help, of a failed training")
    message: str | None = Field(description="what happened, of a failed training")
    began_at: datetime = Field(description="when it was requested")
    ended_at: datetime | None = Field(description="when it ended; null while it runs")
    last_at: datetime = Field(description="when its newest event was stored")
    duration_ms: int = Field(description="milliseconds from the request to the end, or until now; waits included")
    work_ms: int = Field(description="milliseconds of all its ended attempts together")
    silent_ms: int | None = Field(description="milliseconds since its newest event; null when it has ended")
    stuck: bool = Field(description="whether it runs and is silent for longer than `stuck_after_ms`")
    stuck_after_ms: int | None = Field(
        description="milliseconds of silence that are too many: the 99th percentile of the newest 1,000 attempts that"
        " succeeded at its stage, 10 minutes at least; null when it has ended"
    )
    provider: str | None
    external_id: str | None = Field(description="the provider's id of the newest run")
    cost_usd: float | None = Field(description="US dollars of all its paid runs; null when the price is not known")
    image_count: int | None
    retries: int = Field(description="how often a stage tried again by itself")
    errors: int = Field(description="how many attempts failed, those included")
    trace_id: str | None


class RetryInsight(BaseModel):
    """Whether trying again helped: runs of a stage that met an error of this category and went on."""

    model_config = _shown(
        stage="huggingface_upload", category="network", kind="automatic", attempts=31, runs=22, succeeded=21, failed=1,
        undecided=0, success_rate=0.9545, p50_ms=8_400, p95_ms=61_000,
    )  # fmt: skip

    stage: str
    category: str = Field(description="error category of the failed attempts, or `unknown`")
    kind: RetryKind = Field(description="automatic: by the stage itself; by_hand: by somebody, after it had given up")
    attempts: int = Field(description="failed attempts that were followed by another")
    runs: int = Field(description="runs of the stage that these belong to, each counted once")
    succeeded: int = Field(description="runs that succeeded afterwards")
    failed: int = Field(description="runs that failed in the end all the same")
    undecided: int = Field(description="runs that go on, or were canceled")
    success_rate: float | None = Field(description="succeeded / (succeeded + failed); null when no run has ended")
    p50_ms: int | None = Field(description="median milliseconds from the first such failure to the success")
    p95_ms: int | None = Field(description="95th percentile of the same, in milliseconds")


class ProviderLatency(BaseModel):
    """How long attempts took that talk to a provider, whatever came of them."""

    model_config = _shown(
        at=_AT, provider="replicate", stage="replicate_training", attempts=151, error_rate=0.0728, p50_ms=861_200,
        p90_ms=1_431_000, p95_ms=1_688_410, p99_ms=2_301_220, max_ms=2_688_301,
    )  # fmt: skip

    at: datetime = Field(description="beginning of the hour or day (UTC), or of the whole span")
    provider: str = Field(description="who the stage talks to, or `unknown`")
    stage: str
    attempts: int = Field(description="how many attempts ended")
    error_rate: float = Field(description="share of them that did not succeed, from 0 to 1")
    p50_ms: int | None = Field(description="median in milliseconds; null where no duration is known")
    p90_ms: int | None = Field(description="90th percentile in milliseconds")
    p95_ms: int | None = Field(description="95th percentile in milliseconds")
    p99_ms: int | None = Field(description="99th percentile in milliseconds")
    max_ms: int | None = Field(description="the longest, in milliseconds")


class ProviderCosts(BaseModel):
    """What trainings have cost at a provider. All of a training counts when its newest paid run succeeded."""

    model_config = _shown(
        at=_AT, provider="replicate", jobs=140, runs=144, cost_usd=212.4, mean_usd=1.517143, max_usd=4.12, lost_usd=3.2
    )

    at: datetime = Field(description="beginning of the hour or day (UTC), or of the whole span")
    provider: str = Field(description="whom it was paid to, or `unknown`")
    jobs: int = Field(description="trainings with a known price")
    runs: int = Field(description="paid runs of these that succeeded; a training that was retried may have several")
    cost_usd: float = Field(description="US dollars in all")
    mean_usd: float = Field(description="US dollars per training on average")
    max_usd: float = Field(description="US dollars of the dearest training")
    lost_usd: float = Field(description="the part of cost_usd paid for trainings that have failed or are canceled")
