"""Are the processes up and well: requests, event loops, memory, connections, their own telemetry?"""

from typing import Final

from monitoring.boards.layout import board, choice
from monitoring.panels import heat, number, series, table
from monitoring.queries import increase, quantile, query, rate

_CHOSEN: Final = 'service=~"$service"'
_HTTP: Final = "http_server_request_duration_seconds"
_SLOWEST: Final = quantile(0.95, _HTTP, "service", "http_request_method", "http_route", where=_CHOSEN)

BOARD: Final = board(
    "services",
    "fluxline: Services",
    "The processes behind it all.",
    [
        (
            "Now",
            [
                number(
                    "Replicas that answer",
                    query(f'count by (service) (up{{job="fluxline",{_CHOSEN}}} == 1)', "{{service}}", now=True),
                    low_is_bad=True,
                    bad=1,
                    runbook="ServiceDown",
                ),
                number(
                    "Starts in 24 h",
                    query(
                        f'sum by (service) (changes(process_start_time_seconds{{job="fluxline",{_CHOSEN}}}[24h]))',
                        "{{service}}",
                        now=True,
                    ),
                    worrying=3,
                    runbook="ServiceRestarts",
                ),
                number("People who watch live", query("sum(fluxline_live_streams)", now=True)),
            ],
        ),
        (
            "Requests",
            [
                series(
                    "Requests a second, by status",
                    query(
                        rate(f"{_HTTP}_count", "service", "http_response_status_code", where=_CHOSEN),
                        "{{service}} {{http_response_status_code}}",
                    ),
                    stacked=True,
                    runbook="ApiFails",
                ),
                series(
                    "Which routes fail?",
                    query(
                        rate(
                            f"{_HTTP}_count",
                            "service",
                            "http_request_method",
                            "http_route",
                            where=f'{_CHOSEN},http_response_status_code=~"5.."',
                        ),
                        "{{service}} {{http_request_method}} {{http_route}}",
                    ),
                    runbook="ApiFails",
                ),
                series(
                    "Which routes are slow? (the slowest five, 95 %)",
                    query(
                        f"topk(5, {_SLOWEST})",
                        "{{service}} {{http_request_method}} {{http_route}}",
                    ),
                    unit="s",
                    runbook="ApiSlow",
                ),
                heat(
                    "How long does each request take?",
                    query(increase(f"{_HTTP}_bucket", "le", where=_CHOSEN), "{{le}}", heat=True),
                ),
            ],
        ),
        (
            "Processes",
            [
                series(
                    "Cores in use",
                    query(
                        rate("process_cpu_seconds_total", "service", "instance", where=_CHOSEN),
                        "{{service}} {{instance}}",
                    ),
                ),
                series(
                    "Memory",
                    query(f'process_resident_memory_bytes{{job="fluxline",{_CHOSEN}}}', "{{service}} {{instance}}"),
                    unit="bytes",
                ),
                series(
                    "How late is the event loop? (99 %)",
                    query(f"instance:fluxline_event_loop_lag_seconds:p99_5m{{{_CHOSEN}}}", "{{service}} {{instance}}"),
                    unit="s",
                    bad=0.5,
                    runbook="EventLoopLag",
                ),
                series(
                    "Open files",
                    query(f'process_open_fds{{job="fluxline",{_CHOSEN}}}', "{{service}} {{instance}}"),
                ),
            ],
        ),
        (
            "PostgreSQL, telemetry, audit",
            [
                series(
                    "Connections to PostgreSQL",
                    query(
                        f"sum by (service, state) (fluxline_database_connections{{{_CHOSEN}}})", "{{service}} {{state}}"
                    ),
                    stacked=True,
                    runbook="DatabasePoolFull",
                ),
                series(
                    "Spans dropped",
                    query(
                        increase("fluxline_spans_dropped_total", "service", "reason", where=_CHOSEN),
                        "{{service}} {{reason}}",
                    ),
                    bad=1,
                    runbook="SpansDropped",
                ),
                series(
                    "Calls missing in the audit log",
                    query(increase("fluxline_audit_dropped_total", "reason"), "{{reason}}"),
                    bad=1,
                    runbook="AuditIncomplete",
                ),
                table(
                    "What runs?",
                    query(f"count by (service, version, python) (fluxline_build_info{{{_CHOSEN}}})", table=True),
                ),
            ],
        ),
        (
            "The machine",
            [
                series(
                    "Free space of disks",
                    query(
                        'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs|erofs|iso9660|nsfs"}'
                        " / node_filesystem_size_bytes",
                        "{{instance}} {{mountpoint}}",
                    ),
                    unit="percentunit",
                    ceiling=1,
                    runbook="DiskNearlyFull",
                ),
                series(
                    "Processor time in use",
                    query(
                        '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))',
                        "{{instance}}",
                    ),
                    unit="percentunit",
                    ceiling=1,
                ),
                series(
                    "Memory in use",
                    query("1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}"),
                    unit="percentunit",
                    ceiling=1,
                ),
            ],
        ),
    ],
    [choice("service", "Service", 'up{job="fluxline"}')],
)
