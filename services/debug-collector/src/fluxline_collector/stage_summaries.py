"""Each stage of a training in one line of figures: the sums of its spans. Pure."""

from collections.abc import Sequence
from datetime import datetime

from fluxline.contracts.debugging import StageStatus, StageSummary
from fluxline_collector.spans import StageTime
from fluxline_collector.standing import PIPELINE, Standing


def stage_summaries(times: Sequence[StageTime], standing: Standing) -> list[StageSummary]:
    """The stages that have begun, and the one at which the training failed although nobody had begun it."""
    return [_summary_of(time, standing) for time in times] + _never_begun(times, standing)


def _summary_of(time: StageTime, standing: Standing) -> StageSummary:
    queue = [span for span in time.spans if span.started_at < time.attempts[0].started_at]
    own = time.spans[len(queue) :]
    status = _status(time, standing)
    open_ended = any(span.duration_ms is None for span in own)
    sums = {kind: sum(span.duration_ms or 0 for span in own if span.kind == kind) for kind in ("work", "wait")}
    return StageSummary(
        stage=time.stage,
        status=status,
        attempts=len(time.attempts),
        errors=sum(attempt.outcome in ("retried", "failed") for attempt in time.attempts),
        started_at=time.attempts[0].started_at,
        ended_at=_ended_at(time, status, standing),
        duration_ms=None if open_ended else sums["work"] + sums["wait"],
        work_ms=sums["work"],
        wait_ms=sums["wait"],
        queued_ms=sum(span.duration_ms or 0 for span in queue) if queue else None,
    )


def _never_begun(times: Sequence[StageTime], standing: Standing) -> list[StageSummary]:
    """The stage at which the training failed before anybody began it."""
    if standing.status != "failed" or standing.end is None or standing.stage in {time.stage for time in times}:
        return []
    at = standing.end.at
    return [
        StageSummary(
            stage=standing.stage, status="failed", attempts=0, errors=1, started_at=at, ended_at=at, duration_ms=0
        )
    ]


def _status(time: StageTime, standing: Standing) -> StageStatus:
    last = time.last
    if standing.status == "failed" and standing.stage == time.stage:
        return "failed"
    if standing.retry and last.run < standing.run and _comes_again(time.stage, standing):
        return "pending"
    if last.outcome == "retried":
        return "retrying" if standing.status == "running" else standing.status
    if last.outcome in ("succeeded", "failed", "canceled"):
        return last.outcome
    return "running" if last.outcome is None else "failed"


def _comes_again(stage: str, standing: Standing) -> bool:
    from_stage = str(standing.retry.facts.get("from_stage")) if standing.retry else ""
    known = stage in PIPELINE and from_stage in PIPELINE
    return known and PIPELINE.index(stage) >= PIPELINE.index(from_stage)


def _ended_at(time: StageTime, status: StageStatus, standing: Standing) -> datetime | None:
    if status not in ("succeeded", "failed", "canceled"):
        return None
    last = time.last.ended_at
    if time.last.outcome == "retried" and standing.ended_at:
        return max(standing.ended_at, last or standing.ended_at)
    return last
