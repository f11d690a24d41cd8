"""What is asked across jobs, over HTTP: for the gateway and for operators."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import AfterValidator, AwareDatetime, SecretStr

from fluxline.contracts.debugging import JobStatus
from fluxline.contracts.insights import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
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
from fluxline_collector.api import bearer
from fluxline_collector.insight_cursor import DEFAULT_SPAN, MAX_CURSOR_CHARS, MAX_SPAN, BadQuestion, Place
from fluxline_collector.insight_queries import COSTS, FAILURES, JOBS, PROVIDERS, RETRIES, STAGES, Question
from fluxline_collector.insights import Answers
from fluxline_collector.record import storable

Text = Annotated[str | None, Query(min_length=1, max_length=200), AfterValidator(lambda text: text and storable(text))]
Cut = Annotated[Bucket | None, Query(description="a row for each hour or day; one for the whole span otherwise")]
MAX_DURATION_MS = 10**12


def place_of(
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_CHARS)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
) -> Place:
    """The page that a request's query describes."""
    return Place(since, until, cursor, limit)


Where = Annotated[Place, Depends(place_of)]


def router(answers: Answers, token: SecretStr) -> APIRouter:
    """The routes, each behind the bearer token."""
    routes = APIRouter(prefix="/v1/insights", dependencies=[Depends(bearer(token))], tags=["insights"])

    async def page(
        question: Question, place: Place, filters: Mapping[str, Any], default: timedelta = DEFAULT_SPAN
    ) -> Insights[Any]:
        try:
            return await answers.page(question, filters, place, default)
        except BadQuestion as error:
            raise HTTPException(422, str(error)) from error

    @routes.get("/stages")
    async def stages(
        place: Where, bucket: Cut = None, stage: Text = None, provider: Text = None, version: Text = None
    ) -> Insights[StageDurations]:
        """How long attempts took, by stage, provider and outcome."""
        return await page(STAGES, place, {"bucket": bucket, "stage": stage, "provider": provider, "version": version})

    @routes.get("/failures")
    async def failures(
        place: Where,
        bucket: Cut = None,
        stage: Text = None,
        provider: Text = None,
        version: Text = None,
        category: Text = None,
    ) -> Insights[FailureRate]:
        """Which share of the attempts went wrong; within an hour or day the most errors first."""
        filters = {"stage": stage, "provider": provider, "version": version, "category": category}
        return await page(FAILURES, place, filters | {"bucket": bucket})

    @routes.get("/retries")
    async def retries(
        place: Where, stage: Text = None, category: Text = None, provider: Text = None, version: Text = None
    ) -> Insights[RetryInsight]:
        """Whether trying again helped; what was tried again most often first."""
        filters = {"stage": stage, "category": category, "provider": provider, "version": version}
        return await page(RETRIES, place, filters)

    @routes.get("/providers")
    async def providers(
        place: Where, bucket: Cut = None, stage: Text = None, provider: Text = None, version: Text = None
    ) -> Insights[ProviderLatency]:
        """How long attempts took, by provider and stage."""
        return await page(
            PROVIDERS, place, {"bucket": bucket, "stage": stage, "provider": provider, "version": version}
        )

    @routes.get("/costs")
    async def costs(
        place: Where, bucket: Cut = None, provider: Text = None, owner: Text = None
    ) -> Insights[ProviderCosts]:
        """What trainings have cost, by provider."""
        return await page(COSTS, place, {"bucket": bucket, "provider": provider, "owner": owner})

    @routes.get("/jobs")
    async def jobs(
        place: Where,
        sort: JobSort = "newest",
        status: JobStatus | None = None,
        stage: Text = None,
        category: Text = None,
        provider: Text = None,
        owner: Text = None,
        q: Text = None,
        min_duration_ms: Annotated[int | None, Query(ge=0, le=MAX_DURATION_MS)] = None,
        stuck: bool | None = None,
    ) -> Insights[JobInsight]:
        """Trainings requested in the span. The stuck ones are looked for in all time, unless `since` is given."""
        filters = {"stage": stage, "category": category, "provider": provider, "owner": owner, "q": q}
        others = {"status": status, "min_duration_ms": min_duration_ms, "stuck": stuck}
        return await page(JOBS[sort], place, filters | others, MAX_SPAN if stuck else DEFAULT_SPAN)

    return routes
