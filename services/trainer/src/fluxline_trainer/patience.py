"""When to try again and when to give up, which depends on whether money may have been spent already."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.runtime.policy import GiveUp, Outcome, Retry, RetryPolicy
from fluxline_trainer.job import Job, JobState

CONFIRMATIONS = 3
FILE_CONFIRMATIONS = 2
GRACE = 2.0
"""After how many deadlines a run that cannot be looked at is given up."""


@dataclass(frozen=True)
class Patience:
    """`free` decides while nothing is paid; `paid` spaces the tries afterwards, which only `deadline` bounds.

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
        if job.age_s(now) > GRACE * self.deadline.total_seconds():
            return GiveUp(exhausted=True)
        if error.category.retryable:
            return self.paid.decide(error, job.failures + 1)
        damaged = error.category is ErrorCategory.FILE_ERROR
        if job.refusals + 1 >= (FILE_CONFIRMATIONS if damaged else CONFIRMATIONS):
            return GiveUp(exhausted=False)
        return Retry(self.paid.base_s if damaged else self.confirm.total_seconds())
