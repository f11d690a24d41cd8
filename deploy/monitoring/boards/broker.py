"""Do messages flow, who is behind, and how full are the streams?"""

from typing import Final

from monitoring.boards.layout import board, choice
from monitoring.panels import bars, heat, number, series
from monitoring.queries import increase, quantile, query, rate

_CHOSEN: Final = 'durable=~"$durable"'
_WAIT: Final = "fluxline_message_wait_seconds"

BOARD: Final = board(
    "broker",
    "fluxline: Broker",
    "NATS JetStream: consumers, streams, dead letters, outboxes.",
    [
        (
            "Now",
            [
                number(
                    "Dead letters",
                    query('max(fluxline_stream_messages{stream="DLQ"})', now=True),
                    bad=1,
                    runbook="DeadLetters",
                ),
                number(
                    "Oldest event that NATS has not confirmed",
                    query("max by (service) (fluxline_outbox_oldest_seconds)", "{{service}}", now=True),
                    unit="s",
                    worrying=10,
                    bad=30,
                    runbook="OutboxOld",
                ),
                number(
                    "Events that NATS refuses",
                    query("max by (service) (fluxline_outbox_refused)", "{{service}}", now=True),
                    bad=1,
                    runbook="EventsRefused",
                ),
                number(
                    "Events lost in 24 h",
                    query(
                        "sum(increase(fluxline_outbox_lost_messages_total[24h]))", "put back from outboxes", now=True
                    ),
                    query("max(increase(fluxline_collector_lost_events_total[24h]))", "missing on record", now=True),
                    bad=1,
                    runbook="EventsLost",
                ),
            ],
        ),
        (
            "Consumers",
            [
                series(
                    "How many messages wait?",
                    query(f"durable:fluxline_consumer_pending_messages:max{{{_CHOSEN}}}", "{{durable}}"),
                    runbook="ConsumerWithoutWorker",
                ),
                series(
                    "How long do messages wait? (95 %)",
                    query(quantile(0.95, _WAIT, "durable", where=_CHOSEN), "{{durable}}"),
                    unit="s",
                    bad=60,
                    runbook="QueueLag",
                ),
                series(
                    "Messages a second, by how they end",
                    query(
                        rate("fluxline_messages_total", "durable", "outcome", where=_CHOSEN), "{{durable}} {{outcome}}"
                    ),
                    stacked=True,
                ),
            ],
        ),
        (
            "In hand",
            [
                series(
                    "Messages being handled",
                    query(f"sum by (durable) (fluxline_messages_in_flight{{{_CHOSEN}}})", "{{durable}}"),
                ),
                series(
                    "Messages delivered and not yet ended",
                    query(f"max by (durable) (fluxline_consumer_ack_pending_messages{{{_CHOSEN}}})", "{{durable}}"),
                ),
                series(
                    "Messages out for the second time or more",
                    query(f"max by (durable) (fluxline_consumer_redelivered_messages{{{_CHOSEN}}})", "{{durable}}"),
                ),
                heat(
                    "How long does each message wait?",
                    query(increase(f"{_WAIT}_bucket", "le", where=_CHOSEN), "{{le}}", heat=True),
                ),
            ],
        ),
        (
            "Streams",
            [
                bars(
                    "How full are the streams?",
                    query("stream:fluxline_stream_fullness:ratio", "{{stream}}", now=True),
                    unit="percentunit",
                    worrying=0.6,
                    bad=0.8,
                    ceiling=1,
                    about="LOGS and ADVISORIES may be full: they forget their oldest messages.",
                    runbook="StreamNearLimit",
                ),
                series(
                    "Messages stored", query("max by (stream) (fluxline_stream_messages)", "{{stream}}"), stacked=True
                ),
                series(
                    "Bytes stored",
                    query("max by (stream) (fluxline_stream_bytes)", "{{stream}}"),
                    unit="bytes",
                    stacked=True,
                ),
            ],
        ),
    ],
    [choice("durable", "Consumer", "fluxline_consumer_pending_messages")],
)
