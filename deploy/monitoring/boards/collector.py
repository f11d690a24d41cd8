"""Is everything on record, in time, and are people told?"""

from typing import Final

from monitoring.boards.layout import board
from monitoring.panels import heat, number, series
from monitoring.queries import increase, query, rate

BOARD: Final = board(
    "collector",
    "fluxline: Collector",
    "The debug-collector: events and logs on record, its rules, its notices.",
    [
        (
            "Now",
            [
                number(
                    "Age of the oldest event not on record",
                    query("max(fluxline_collector_lag_seconds)", now=True),
                    unit="s",
                    worrying=10,
                    bad=60,
                    runbook="CollectorBehind",
                ),
                number("Events not on record yet", query("max(fluxline_collector_lag_messages)", now=True)),
                number(
                    "Events that never will be",
                    query("max(fluxline_collector_lost_events_total)", now=True),
                    bad=1,
                    runbook="EventsLost",
                ),
                number(
                    "Since the rules were evaluated",
                    query("min(fluxline_collector_alert_evaluation_age_seconds)", now=True),
                    unit="s",
                    worrying=30,
                    bad=60,
                    runbook="RulesNotEvaluated",
                ),
                number(
                    "Open incidents",
                    query("max by (severity) (fluxline_collector_alert_incidents)", "{{severity}}", now=True),
                    worrying=1,
                ),
            ],
        ),
        (
            "Events",
            [
                series(
                    "Events stored a second",
                    query(rate("fluxline_collector_events_stored_total", "instance"), "{{instance}}"),
                    query(rate("fluxline_collector_events_unreadable_total"), "unreadable"),
                ),
                series(
                    "How far behind is it?",
                    query("max(fluxline_collector_lag_seconds)", "oldest event not stored"),
                    query(
                        "max by (instance) (fluxline_collector_newest_seconds)",
                        "newest event when stored: {{instance}}",
                    ),
                    unit="s",
                    bad=60,
                    runbook="CollectorBehind",
                ),
                heat(
                    "Events in a batch",
                    query(
                        increase("fluxline_collector_batch_events_bucket", "le"),
                        "{{le}}",
                        heat=True,
                    ),
                    unit="short",
                ),
            ],
        ),
        (
            "Logs and notices",
            [
                series(
                    "Log entries a second",
                    query(rate("fluxline_logs_shipped_total", "service"), "shipped by {{service}}"),
                    query(rate("fluxline_collector_logs_stored_total"), "stored"),
                    query(rate("fluxline_collector_logs_unreadable_total"), "unreadable"),
                ),
                series(
                    "Log entries lost on the way",
                    query(increase("fluxline_logs_dropped_total", "service"), "{{service}}"),
                    bad=1,
                    runbook="LogsDropped",
                ),
                series(
                    "Notices to people, by how they end",
                    query(
                        increase("fluxline_collector_alert_notices_total", "channel", "outcome"),
                        "{{channel}} {{outcome}}",
                    ),
                    query(
                        increase("fluxline_collector_alert_evaluation_failures_total"),
                        "evaluations that could not see all",
                    ),
                    runbook="NoticesFail",
                ),
            ],
        ),
    ],
)
