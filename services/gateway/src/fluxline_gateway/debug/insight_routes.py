"""`/v1/admin/insights`: what is asked across all trainings, out of the debug-collector; for operators."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel

from fluxline.contracts.debugging import JobStatus
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.insights import (
    DEFAULT_SPAN_DAYS,
    MAX_SPAN_DAYS,
    Bucket,
    FailureRate,
    Insights,
    JobInsight,
    JobSort,
    ProviderCosts,
    ProviderLatency,
    RetryInsight,
    StageDurations,
)
from fluxline_gateway import examples
from fluxline_gateway.debug.collector_client import ask
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import problems
from fluxline_gateway.identity.scopes import ADMIN_PATH
from fluxline_gateway.moments import Moment
from fluxline_gateway.pages import DEFAULT_LIMIT, Limit, Page, link_next

router = APIRouter(
    prefix=f"{ADMIN_PATH}/insights", tags=["operations"], responses=problems(_503="The debug-collector does not answer")
)
M = TypeVar("M", bound=BaseModel)
_SPAN: Final = f"from this time on; {DEFAULT_SPAN_DAYS} days before `until` if left out, {MAX_SPAN_DAYS} days at most"


def _filter(description: str, example: str) -> Any:
    return Query(min_length=1, max_length=200, description=description, examples=[example])


StageIn = Annotated[Stage | None, Query(description="only this stage", examples=["huggingface_upload"])]
Category = Annotated[ErrorCategory | None, Query(description="only this error category", examples=["rate_limit"])]
Provider = Annotated[str | None, _filter("only this provider, like replicate, huggingface, storage", "huggingface")]
Version = Annotated[str | None, _filter("only work of services of this version", "1.4.0")]
OwnerIn = Annotated[str | None, _filter("only trainings of this owner", examples.OWNER)]
Cut = Annotated[Bucket | None, Query(description="a row for each hour or day (UTC) instead of one for the whole span")]


@dataclass(frozen=True)
class Wanted:
    """Which rows, and which page of them."""

    since: Annotated[Moment | None, Query(description=_SPAN, examples=[examples.CREATED_AT])] = None
    until: Annotated[
        Moment | None, Query(description="before this time; now if left out", examples=[examples.EXPIRES_AT])
    ] = None
    limit: Limit = DEFAULT_LIMIT
    cursor: Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before")] = None


@dataclass(frozen=True)
class Asking:
    """One request for a list."""

    request: Request
    response: Response
    gateway: Deps
    caller: Owner
    wanted: Annotated[Wanted, Depends()]

    async def page(self, what: str, model: type[M], **filters: Any) -> Page[M]:
        """The collector's page, passed on."""
        gateway: Gateway = self.gateway
        parameters = asdict(self.wanted) | filters
        found = await ask(gateway, f"/v1/insights/{what}", Insights[model], **parameters)  # type: ignore[valid-type]
        link_next(self.request, self.response, found.next_cursor)
        return Page(items=found.items, next_cursor=found.next_cursor)


Question = Annotated[Asking, Depends()]


@router.get("/stages", operation_id="list_stage_durations")
async def list_stage_durations(
    question: Question, bucket: Cut = None, stage: StageIn = None, provider: Provider = None, version: Version = None
) -> Page[StageDurations]:
    """How long attempts at a stage took, by provider and by how they ended, as percentiles."""
    return await question.page("stages", StageDurations, bucket=bucket, stage=stage, provider=provider, version=version)


@router.get("/failures", operation_id="list_failure_rates")
async def list_failure_rates(
    question: Question,
    bucket: Cut = None,
    stage: StageIn = None,
    provider: Provider = None,
    version: Version = None,
    category: Category = None,
) -> Page[FailureRate]:
    """Which share of the attempts failed, by stage, provider, version and category of error.

    The most errors come first, within an hour or day where the answer is cut into these. The rows
    without a category are about all errors together, and are there where nothing failed too.
    """
    filters = {"stage": stage, "provider": provider, "version": version, "category": category}
    return await question.page("failures", FailureRate, bucket=bucket, **filters)


@router.get("/jobs", operation_id="list_jobs")
async def list_jobs(
    question: Question,
    sort: Annotated[JobSort, Query(description="which come first")] = "newest",
    status: Annotated[JobStatus | None, Query(description="only those of this status", examples=["failed"])] = None,
    stage: StageIn = None,
    category: Category = None,
    provider: Provider = None,
    owner: OwnerIn = None,
    q: Annotated[str | None, _filter("a part of the name, the message, or an id", examples.OWNER)] = None,
    min_duration_ms: Annotated[
        int | None, Query(ge=0, le=10**12, description="those that took so many milliseconds or more", examples=[60000])
    ] = None,
    stuck: Annotated[
        bool | None, Query(description="whether they are silent for longer than their stage takes", examples=[False])
    ] = None,
) -> Page[JobInsight]:
    """Everybody's trainings that were requested in the span: newest, slowest or costliest first.

    With `stuck=true` those that run and say nothing; without `since` they are looked for in the last 400 days.
    """
    filters = {"stage": stage, "category": category, "provider": provider, "owner": owner, "q": q}
    return await question.page(
        "jobs", JobInsight, sort=sort, status=status, min_duration_ms=min_duration_ms, stuck=stuck, **filters
    )


@router.get("/retries", operation_id="list_retries")
async def list_retries(
    question: Question,
    stage: StageIn = None,
    category: Category = None,
    provider: Provider = None,
    version: Version = None,
) -> Page[RetryInsight]:
    """Whether trying again helped, by stage, category of error, and who tried again; the most frequent first."""
    filters = {"stage": stage, "category": category, "provider": provider, "version": version}
    return await question.page("retries", RetryInsight, **filters)


@router.get("/providers", operation_id="list_provider_latencies")
async def list_provider_latencies(
    question: Question, bucket: Cut = None, stage: StageIn = None, provider: Provider = None, version: Version = None
) -> Page[ProviderLatency]:
    """How long attempts took that talk to a provider, whatever came of them, as percentiles."""
    return await question.page(
        "providers", ProviderLatency, bucket=bucket, stage=stage, provider=provider, version=version
    )


@router.get("/costs", operation_id="list_provider_costs")
async def list_provider_costs(
    question: Question, bucket: Cut = None, provider: Provider = None, owner: OwnerIn = None
) -> Page[ProviderCosts]:
    """What trainings have cost at the providers, and how much of it for those that failed or were canceled."""
    return await question.page("costs", ProviderCosts, bucket=bucket, provider=provider, owner=owner)
