"""The service level objectives as data: what is promised, how it is measured, when somebody is woken.

docs/slo.md explains them; `objective_rules` and the dashboard "Objectives" are made from them. `{window}` in a query
stands for the range that it looks back over.
"""

from dataclasses import dataclass
from typing import Final

from fluxline.contracts.errors import ErrorCategory

USERS_OWN: Final = "|".join(sorted(category.value for category in ErrorCategory if category.is_users))
"""Categories of errors that the user has to mend: photos, parameters, prompts."""
PERIOD: Final = "30d"


@dataclass(frozen=True)
class Objective:
    """`target` of the events in 30 days have to be good; `bad` and `total` are rates (1/s) of events.

    `at_least` is how many bad events within the alert's long window are worth waking anybody.
    `summary` is the alert's first line; its users' side is in docs/runbooks/<alert>.md.
    """

    name: str
    alert: str
    target: float
    bad: str
    total: str
    title: str
    summary: str
    at_least: int = 3

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return round(1 - self.target, 6)

    def ratio(self, window: str) -> str:
        """The share of bad events in the window; nothing where there were none at all."""
        bad, total = (query.replace("{window}", window) for query in (self.bad, self.total))
        return f"({bad} or vector(0)) / ({total} > 0)"

    def bad_events(self, window: str) -> str:
        """How many bad events the window has."""
        return self.bad.replace("rate(", "increase(").replace("{window}", window)


def _sum(*series: str) -> str:
    return f"sum({' or '.join(f'rate({one}[{{window}}])' for one in series)})"


_JOBS: Final = "fluxline_jobs_ended_total"
_STAGE: Final = "fluxline_stage_duration_seconds"
_HTTP: Final = "http_server_request_duration_seconds"
_OF_STAGES: Final = 'stage=~"zip_creation|huggingface_upload",outcome="succeeded"'
_READS: Final = (
    'service="gateway",http_request_method="GET",http_route=~"/v1/.+",'
    'http_route!~".*(events|export|weights|content|thumbnail)"'
)
_QUICK_READS: Final = f'{_HTTP}_bucket{{{_READS},le="0.25"}}'
_ON_TIME: Final = (
    f'{_STAGE}_bucket{{stage="zip_creation",outcome="succeeded",le="15.0"}}',
    f'{_STAGE}_bucket{{stage="huggingface_upload",outcome="succeeded",le="60.0"}}',
)

OBJECTIVES: Final = (
    Objective(
        name="jobs",
        alert="JobsFail",
        target=0.99,
        title="Trainings succeed, but for their users' own mistakes",
        bad=_sum(f'{_JOBS}{{status="failed",category!~"{USERS_OWN}"}}'),
        total=_sum(f'{_JOBS}{{status=~"completed|failed",category!~"{USERS_OWN}"}}'),
        summary="Trainings fail that should not",
    ),
    Objective(
        name="generations",
        alert="GenerationsFail",
        target=0.99,
        title="Images are generated, but for their users' own mistakes",
        bad=_sum(f'{_STAGE}_count{{stage="image_generation",outcome="failed",category!~"{USERS_OWN}"}}'),
        total=_sum(f'{_STAGE}_count{{stage="image_generation",outcome=~"succeeded|failed",category!~"{USERS_OWN}"}}'),
        summary="Images are not generated that should be",
    ),
    Objective(
        name="stages",
        alert="StagesSlow",
        target=0.95,
        title="Our own stages are quick: archives in 15 s, publications in 60 s",
        bad=f"({_sum(f'{_STAGE}_count{{{_OF_STAGES}}}')} - {_sum(*_ON_TIME)})",
        total=_sum(f"{_STAGE}_count{{{_OF_STAGES}}}"),
        summary="Archives or publications take longer than promised",
    ),
    Objective(
        name="events",
        alert="EventsLate",
        target=0.99,
        title="Events are in the debug-collector within 5 s",
        bad='(sum(rate(fluxline_message_wait_seconds_count{durable="collector"}[{window}]))'
        ' - sum(rate(fluxline_message_wait_seconds_bucket{durable="collector",le="5.0"}[{window}])))',
        total='sum(rate(fluxline_message_wait_seconds_count{durable="collector"}[{window}]))',
        summary="What happens to jobs is on record too late",
        at_least=10,
    ),
    Objective(
        name="availability",
        alert="ApiFails",
        target=0.999,
        title="The API and the console answer",
        bad=_sum(f'{_HTTP}_count{{http_response_status_code=~"5.."}}'),
        total=_sum(f"{_HTTP}_count"),
        summary="Requests are answered with errors of ours",
        at_least=5,
    ),
    Objective(
        name="latency",
        alert="ApiSlow",
        target=0.99,
        title="Reads of the API are answered within 250 ms",
        bad=f"({_sum(f'{_HTTP}_count{{{_READS}}}')} - {_sum(_QUICK_READS)})",
        total=_sum(f"{_HTTP}_count{{{_READS}}}"),
        summary="Reads of the API take longer than promised",
        at_least=20,
    ),
)
