"""Do jobs come through, how many, how fast, and what stops them?"""

from typing import Final

from monitoring.boards.layout import board
from monitoring.panels import bars, firing, number, series
from monitoring.queries import increase, quantile, query, rate
from monitoring.slos import USERS_OWN

_ENDED: Final = "fluxline_jobs_ended_total"
_OURS: Final = f'status="failed",category!~"{USERS_OWN}"'
_USERS: Final = f'status="failed",category=~"{USERS_OWN}"'

BOARD: Final = board(
    "pipeline",
    "fluxline: Pipeline",
    "Whether photos become models, from the users' side.",
    [
        (
            "Now",
            [
                number(
                    "Trainings under way",
                    query('sum(status:fluxline_jobs:max{status!~"completed|failed|canceled"})', now=True),
                ),
                number("Completed in 24 h", query(f'sum(increase({_ENDED}{{status="completed"}}[24h]))', now=True)),
                number(
                    "Failed in 24 h, our fault",
                    query(f"sum(increase({_ENDED}{{{_OURS}}}[24h])) or vector(0)", now=True),
                    worrying=1,
                    bad=5,
                    runbook="JobsFail",
                ),
                number(
                    "Failed in 24 h, users' own",
                    query(f"sum(increase({_ENDED}{{{_USERS}}}[24h])) or vector(0)", now=True),
                    about="Photos, parameters or prompts that cannot be used; each says so to its user.",
                ),
                number(
                    "Dead letters",
                    query('max(fluxline_stream_messages{stream="DLQ"})', now=True),
                    bad=1,
                    runbook="DeadLetters",
                ),
            ],
        ),
        (
            "Trainings",
            [
                series("Where are the trainings?", query("status:fluxline_jobs:max", "{{status}}"), stacked=True),
                series(
                    "How do they end?",
                    query(increase(_ENDED, "status", "category"), "{{status}} {{category}}"),
                    stacked=True,
                ),
                series(
                    "How long do they take, from the request to the end?",
                    query(quantile(0.5, "fluxline_job_duration_seconds", "status"), "half: {{status}}"),
                    query(quantile(0.95, "fluxline_job_duration_seconds", "status"), "95 %: {{status}}"),
                    unit="s",
                ),
            ],
        ),
        (
            "What stops them",
            [
                series(
                    "What do trainings wait for longer than usual?",
                    query("sum by (reason) (fluxline_jobs_waiting)", "{{reason}}"),
                    stacked=True,
                    runbook="JobsWaiting",
                ),
                series(
                    "Were trainings ended at a deadline, or events sent again?",
                    query(increase("fluxline_jobs_timed_out_total"), "ended"),
                    query(increase("fluxline_events_reemitted_total"), "sent again"),
                ),
                firing("Which alerts fire?"),
            ],
        ),
        (
            "Photos and files",
            [
                series(
                    "Photos uploaded a second, by verdict",
                    query(rate("fluxline_uploaded_images_total", "verdict"), "{{verdict}}"),
                    stacked=True,
                ),
                series(
                    "Bytes a second",
                    query(rate("fluxline_uploaded_bytes_total"), "uploaded"),
                    query(rate("fluxline_image_bytes_total", "direction"), "archives {{direction}}"),
                    query(
                        rate("fluxline_weights_bytes_total", "service", "direction"),
                        "weights {{service}} {{direction}}",
                    ),
                    unit="Bps",
                ),
                bars(
                    "Webhooks of the last 24 h",
                    query("sum by (status) (increase(fluxline_webhooks_ended_total[24h]))", "{{status}}", now=True),
                    query("max(fluxline_webhooks_overdue_seconds)", "overdue (s)", now=True),
                    runbook="WebhooksOverdue",
                ),
            ],
        ),
    ],
)
