"""Why a silent training does not move, from what its events said and what its service's queue looks like. Pure."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from fluxline.contracts.errors import Stage
from fluxline.contracts.events import StageRetried, TrainingProgressed
from fluxline_gateway.trainings import waiting
from fluxline_gateway.trainings.watches import Job, Watch
from fluxline_gateway.trainings.work_queues import CONSUMER_OF, WorkQueue

Queues = Mapping[Stage, WorkQueue] | None
"""None: NATS cannot be reached."""


@dataclass(frozen=True)
class Finding:
    """What a look found: a job, its silence, the words for it (None: all is as usual, or its events say why).

    `may_be_lost`: the event that the stage waits for could have got lost on its way.
    """

    job: Job
    watch: Watch
    reason: str | None = None
    may_be_lost: bool = False


def explain(
    jobs: list[Job], watches: Mapping[UUID, Watch], queues: Queues, usual_s: Mapping[Stage, float]
) -> list[Finding]:
    """A finding for each job; one with a reason where it was silent for longer than is usual at its stage."""
    lines = _lines(jobs)
    fresh = (job for job in jobs if watches[job.training_id].silent_s < usual_s[job.stage])
    busy = {job.stage for job in fresh if job.sign_type}
    findings = []
    for job in jobs:
        watch = watches[job.training_id]
        if watch.silent_s < usual_s[job.stage] or _is_between_attempts(job):
            findings.append(Finding(job, watch))
        else:
            findings.append(Finding(job, watch, *_reason(job, watch, queues, lines, busy)))
    return findings


def is_at_work(job: Job, queues: Queues) -> bool:
    """Whether somebody could be working on the job: then its time runs. Not in a queue, nor without a service."""
    queue = queues[_stage_in_charge(job)] if queues else None
    if queue is None or queue.idle or job.began.sequence is None:
        return False
    return not queue.holds(job.began.sequence)


def _reason(
    job: Job, watch: Watch, queues: Queues, lines: Mapping[Stage, list[int]], busy: set[Stage]
) -> tuple[str, bool]:
    """The words for a silence, and whether an event may be lost. `busy` are stages whose jobs move."""
    if queues is None:
        return waiting.NATS_DOWN, False
    stage = _stage_in_charge(job)
    queue, service, sequence = queues[stage], CONSUMER_OF[stage].durable, job.began.sequence
    if queue.idle or (queue.stuck and stage not in busy):
        return waiting.service_down(service), False
    if sequence is not None and job.status != "canceling" and queue.holds(sequence):
        return waiting.queued(bisect_left(lines[stage], sequence), service), False
    if job.sign_type == TrainingProgressed.subject and job.sign.get("phase") == "starting":
        return waiting.PROVIDER_QUEUE, True
    return waiting.slow(stage, watch.news_at), True


def _lines(jobs: list[Job]) -> Mapping[Stage, list[int]]:
    """The jobs at each stage in the order in which they came there, by the sequence of what brought them."""
    lines: dict[Stage, list[int]] = defaultdict(list)
    for job in jobs:
        if job.began.sequence is not None:
            lines[job.stage].append(job.began.sequence)
    return {stage: sorted(line) for stage, line in lines.items()}


def _stage_in_charge(job: Job) -> Stage:
    """Whose service has to act next: canceling is the trainer's."""
    return Stage.REPLICATE_TRAINING if job.status == "canceling" else job.stage


def _is_between_attempts(job: Job) -> bool:
    """Whether the stage has said when it tries again: then that is the reason, and it stands in the job's state."""
    if job.sign_type != StageRetried.subject:
        return False
    return datetime.fromisoformat(job.sign["next_attempt_at"]) > datetime.now(UTC)
