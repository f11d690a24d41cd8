"""When to try again and when to give up, which depends on whether money may have been spent already."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.runtime.policy import GiveUp, Outcome, Retry, RetryPolicy
from fluxline_trainer.job import Job, JobState

CONFIRMATIONS = 3
FILE_CONFIRMATIONS = 2
GRACE = 2.0
"""After how many deadlines a run that cannot be looked at, or does not end, is given up."""


@dataclass(frozen=True)
class Patience:
    """`free` decides while nothing is paid; `paid` spaces the tries afterwards, which only `deadline` bounds.

    A submission that cannot be looked for is given up after one deadline, a known run after `GRACE` of them.

    A refusal of a paid run (unknown id, refused key, damaged weights) ends it only when it is confirmed:
    three times, `confirm` apart; damaged weights twice, which is one more download.
    """

    free: RetryPolicy
    paid: RetryPolicy
    deadline: timedelta
    confirm: timedelta

    def decide(self, job: Job, error: FluxlineError, now: datetime) -> Outcome:
        """What follows the failure of a step of `job`."""
        if job.state is JobState.ZIP_READY:
            return self.free.decide(error, job.failures + 1)
        deadlines = GRACE if job.state is JobState.TRAINING else 1.0
        if job.age_s(now) > deadlines * self.deadline.total_seconds():
            return GiveUp(exhausted=True)
        if error.category.retryable:
            return self.paid.decide(error, job.failures + 1)
        damaged = error.category is ErrorCategory.FILE_ERROR
        if job.refusals + 1 >= (FILE_CONFIRMATIONS if damaged else CONFIRMATIONS):
            return GiveUp(exhausted=False)
        return Retry(self.paid.base_s if damaged else self.confirm.total_seconds())

    def insist_s(self, job: Job, error: FluxlineError) -> float:
        """Seconds until the next try of what is never given up."""
        outcome = self.paid.decide(error, job.failures + 1)
        return outcome.delay_s if isinstance(outcome, Retry) else self.confirm.total_seconds()
